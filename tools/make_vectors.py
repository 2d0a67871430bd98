"""Writes protocol/vectors/*.json: examples of everything on the wire, from fixed keys, byte for byte.

python -m tools.make_vectors            write them
python -m tools.make_vectors --check    exit with 1 and name the files that would change
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.vectors import batches, codecs, connection, frames, orders, records, refusals, remote, session

WHAT = {
    "cbor.json": "Values and their only encoding; encodings that are refused, and the offset of the fault.",
    "cobs.json": "Messages as they are on the wire, with their delimiter; encodings that are refused.",
    "waveform.json": "Samples and the block that the encoder makes of them; blocks that no encoder makes.",
    "frames.json": "Every kind of frame, up and down: parts, sending lane, plaintext; and what is refused.",
    "messages.json": "Every clear message; what is refused: the cause to count it by, the refusal's code.",
    "sealed.json": "Identities, keys of a boot and of a connection, sealed messages, an attestation.",
    "orders.json": "Signed orders; how a node that believes the authority answers; a manifest.",
    "records.json": "Signed records of people; payloads that are none, whoever signs them.",
    "remote.json": "Commands of an authority, an agent's answers, signed and sealed; payloads that are none.",
    "batch.json": "Entries of every type, heads, batches in clear and sealed, and a collector's answers.",
    "refusals.json": "What a party of session.json drops after hearing these of its steps (by position), and"
    " the causes that it counts. The agent knows the node's keys; the node is paired by whoever asks.",
    "session.json": "One connection, byte for byte, from these secrets and random bytes; what is derived on "
    "the way is in header, up and down.",
}
"""What is in each file, and how to check an implementation by it."""

FOLDER = Path(__file__).resolve().parent.parent / "protocol" / "vectors"


def all_vectors() -> dict[str, Any]:
    """File name → content, for every file of vectors."""
    contents = {
        "cbor.json": codecs.cbor_vectors(),
        "cobs.json": codecs.cobs_vectors(),
        "waveform.json": codecs.waveform_vectors(),
        "frames.json": frames.frame_vectors(),
        "messages.json": session.message_vectors(),
        "sealed.json": session.sealed_vectors(),
        "orders.json": orders.order_vectors(),
        "records.json": records.record_vectors(),
        "remote.json": remote.remote_vectors(),
        "batch.json": batches.batch_vectors(),
        "refusals.json": refusals.refusal_vectors(),
        "session.json": connection.session_vectors(),
    }
    return {name: {"what": WHAT[name], **content} for name, content in contents.items()}


def render(content: Any) -> str:
    """A file's text; unescaped, because the JSON of MicroPython does not join surrogates."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the files; the exit status: 1 when --check finds one that would change."""
    parser = argparse.ArgumentParser(description="Write the vectors of the wire protocol.")
    parser.add_argument("--check", action="store_true", help="only say which files would change")
    check = parser.parse_args().check
    changed = 0
    for name, content in all_vectors().items():
        text = render(content)
        if (FOLDER / name).exists() and (FOLDER / name).read_text("utf-8") == text:
            continue
        changed += 1
        print(("would change " if check else "wrote ") + name)
        if not check:
            (FOLDER / name).write_text(text, "utf-8")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
