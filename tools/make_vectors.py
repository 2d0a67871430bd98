"""Writes protocol/vectors/*.json: examples of everything on the wire, from fixed keys, byte for byte.

python -m tools.make_vectors            write them
python -m tools.make_vectors --check    exit with 1 and name the files that would change
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.vectors import batches, codecs, frames, session

FOLDER = Path(__file__).resolve().parent.parent / "protocol" / "vectors"


def all_vectors() -> dict[str, Any]:
    """File name → content, for every file of vectors."""
    return {
        "cbor.json": codecs.cbor_vectors(),
        "cobs.json": codecs.cobs_vectors(),
        "waveform.json": codecs.waveform_vectors(),
        "frames.json": frames.frame_vectors(),
        "messages.json": session.message_vectors(),
        "sealed.json": session.sealed_vectors(),
        "batch.json": batches.batch_vectors(),
    }


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
