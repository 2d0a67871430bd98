"""Batches that come as files: the collector's side of the air gap (edge_agent/forward/file.py writes them).

A file is a batch whole, or it is named and left as it is: half-written, foreign, damaged, refused. Receipts
are written beside the batches (or where told), each whole under its name; what was there twice gets the same
receipt. Nothing is deleted: the agent clears the medium when its receipts have come back.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge_agent.files import fsync_folder
from protocol import receipts
from protocol.errors import ProtocolError
from tools.collector.intake import MAX_MESSAGE, Reply

# So many files are read, verified and stored together.
GROUP = 32
GROUP_BYTES = 16 << 20
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-(\d{1,10})\.batch")

Handle = Callable[[Sequence[tuple[str, bytes]]], list[list[Reply]]]


class Left(NamedTuple):
    """A file that was not taken, and why."""

    name: str
    why: str


@dataclass
class Summary:
    """What became of the files. `again`: taken, but their receipts were on the medium already."""

    taken: int = 0
    again: int = 0
    bytes: int = 0
    left: list[Left] = field(default_factory=list[Left])


class Candidate(NamedTuple):
    """A file with the name of a batch."""

    agent: str
    chain: str
    number: int
    path: Path

    @property
    def receipt(self) -> str:
        """The name of its receipt."""
        return f"{self.path.stem}.receipt"


def candidates(folder: Path) -> tuple[list[Candidate], list[Left]]:
    """The batches in a folder, by agent, chain and number, and what is no batch. OSError as it comes."""
    found: list[Candidate] = []
    left: list[Left] = []
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        match = _NAME.fullmatch(entry.name)
        if match and entry.is_file(follow_symlinks=False):
            found.append(Candidate(match[1], match[2], int(match[3]), Path(entry.path)))
        elif entry.name.endswith(".partial"):
            left.append(Left(entry.name, "half-written: the agent writes it again"))
        elif entry.name.endswith(".batch"):
            left.append(Left(entry.name, "not named <agent>-<chain>-<number>.batch: not an agent's file"))
    return sorted(found), left


def take(
    files: Sequence[Candidate],
    out: Path,
    handle: Handle,
    summary: Summary,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Hand the files to the collector in groups, write the receipts to `out`. `progress`: files done.

    OSError, or the store's own errors: what had a receipt before stays taken; begin again, and all that is
    missing follows.
    """
    for group in _groups(files, summary, progress):
        messages = [(f"vitalwire/1/{one.agent}/batch", data) for one, data in group]
        for (one, data), replies in zip(group, handle(messages), strict=True):
            _settle(one, data, replies, out, summary)
        fsync_folder(out)
        progress(len(group))


def _groups(
    files: Sequence[Candidate], summary: Summary, progress: Callable[[int], None]
) -> Iterator[list[tuple[Candidate, bytes]]]:
    group: list[tuple[Candidate, bytes]] = []
    size = 0
    for one in files:
        data = _read(one, summary)
        if data is None:
            progress(1)
            continue
        group.append((one, data))
        size += len(data)
        if len(group) >= GROUP or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read(one: Candidate, summary: Summary) -> bytes | None:
    try:
        with one.path.open("rb") as file:
            data = file.read(MAX_MESSAGE + 1)
    except OSError as e:
        summary.left.append(Left(one.path.name, f"cannot be read: {e.strerror or e}"))
        return None
    if not data or len(data) > MAX_MESSAGE:
        why = "empty" if not data else f"more than {MAX_MESSAGE} bytes: no batch is so large"
        summary.left.append(Left(one.path.name, why))
        return None
    return data


def _settle(one: Candidate, data: bytes, replies: list[Reply], out: Path, summary: Summary) -> None:
    receipt = next((reply.payload for reply in replies), None)
    if receipt is None:
        summary.left.append(Left(one.path.name, "the collector says nothing to it"))
        return
    try:
        if receipts.is_refusal(receipt):
            refusal = receipts.parse_refusal(receipt)
            hint = "; if it is yours: vitalwire collector trust AGENT.pub, and import again"
            more = hint if refusal.code == "unknown_agent" else ""
            summary.left.append(Left(one.path.name, f"refused ({refusal.code}): {refusal.detail}{more}"))
            return
    except ProtocolError as e:
        summary.left.append(Left(one.path.name, f"an answer that is none: {e}"))
        return
    path = out / one.receipt
    summary.taken += 1
    summary.bytes += len(data)
    # What lies under these names is from outside: it may be huge, or lead elsewhere.
    if path.is_file() and path.stat().st_size == len(receipt) and path.read_bytes() == receipt:
        summary.again += 1
        return
    if path.is_dir() and not path.is_symlink():
        summary.left.append(Left(one.receipt, "a folder lies where the receipt belongs: remove it"))
        return
    partial = out / f".{one.receipt}.partial"
    partial.unlink(missing_ok=True)
    with partial.open("xb") as file:
        file.write(receipt)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
