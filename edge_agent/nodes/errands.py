"""What a command asks of the agent that runs: a file each, beside the file of paired nodes.

The agent owns its links, so a command cannot speak to a node itself while it runs. `ID.json` is the errand:
it holds until the command takes it back, or until its time is over, also if the agent starts only later.
`ID.answer` is the agent's answer, which the command removes.
"""

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from edge_agent.files import write_atomically
from edge_agent.nodes.peers import PeersError

log = logging.getLogger("vitalwire.errands")

IDENTIFY, UNPAIR = "identify", "unpair"
RECORD, ACTION = "record", "action"
ROTATE = "rotate"
COMPACT, REOPEN = "compact", "reopen"
ORDER, COMMAND = "order", "command"
CLAIM = "claim"
UPDATE = "update"
WIFI = "wifi"
OF_NODES = (IDENTIFY, UNPAIR, ORDER)
WHAT = (*OF_NODES, RECORD, ACTION, ROTATE, COMPACT, REOPEN, COMMAND, UPDATE, CLAIM, WIFI)
# A record and what goes with it take less; whatever is larger is no errand.
MAX_FILE = 1 << 18
UNTIL_END_MS = 1 << 53
# An answer that nobody has fetched for so long is nobody's.
FORGOTTEN_MS = 3_600_000


@dataclass(frozen=True)
class Errand:
    """`what`: IDENTIFY, UNPAIR or an ORDER to a node, COMMAND of an authority, RECORD to be taken, ACTION to
    be recorded, ROTATE the signing key, COMPACT the store, REOPEN it since it is damaged, UPDATE: begin
    or turn a roll-out, CLAIM: pair with a node, WIFI: a node's network; `node`: its id in hex, or nothing;
    `force`: without the node's word; `until_ms`: Unix time after which nobody waits for it; `data`: what it
    is about, in hex.
    """

    id: str
    what: str
    node: str
    until_ms: int
    force: bool = False
    data: str = ""


class Errands:
    """The folder of errands, as both ends use it. OSError as it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unread: dict[str, int | None] = {}

    def put(self, what: str, node: bytes, until_ms: int, force: bool = False, data: bytes = b"") -> Errand:
        """Ask durably."""
        errand = Errand(os.urandom(8).hex(), what, node.hex(), until_ms, force, data.hex())
        path = self._folder / f"{errand.id}.json"
        try:
            write_atomically(path, json.dumps(asdict(errand)).encode() + b"\n")
        except BaseException:
            # Whoever is interrupted here has no name by which to take it back.
            with suppress(OSError):
                self.take_back(errand)
            raise
        return errand

    def take_back(self, errand: Errand) -> None:
        """It is answered, or nobody wants it any more."""
        for end in ("json", "answer"):
            (self._folder / f"{errand.id}.{end}").unlink(missing_ok=True)

    def answer_to(self, errand: Errand) -> dict[str, Any] | None:
        """`{"good": bool, "text": str}`, or None as long as there is none."""
        try:
            found = json.loads((self._folder / f"{errand.id}.answer").read_bytes())
        except FileNotFoundError:
            return None
        return cast("dict[str, Any]", found)

    # The agent's end

    def waiting(self, now_ms: int) -> list[Errand]:
        """The errands that are not answered. Files that are none by what they hold are removed, and so are
        answers of long ago and what a command left half written as long ago; what cannot be read stays.
        OSError when the folder itself cannot be read.
        """
        found: list[Errand] = []
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return found
        for path in map(self._folder.joinpath, names):
            try:
                # A hidden file is one that a command writes at this moment.
                if path.suffix == ".answer" or path.name.startswith("."):
                    if now_ms - path.stat().st_mtime_ns // 1_000_000 > FORGOTTEN_MS:
                        path.unlink(missing_ok=True)
                elif path.suffix == ".json":
                    sound = path.stat().st_size <= MAX_FILE
                    errand = _parsed(path.stem, path.read_bytes()) if sound else None
                    if errand is None:
                        path.unlink(missing_ok=True)
                    else:
                        found.append(errand)
            except FileNotFoundError:
                continue
            except OSError as e:
                if self._unread.get(path.name) != e.errno:
                    log.warning("an errand that is left lying: %s", said(e))
                    self._unread[path.name] = e.errno
        self._unread = {name: why for name, why in self._unread.items() if name in names}
        return found

    def answer(self, errand: Errand, good: bool, text: str) -> None:
        """Say what became of it; it is not waiting any more."""
        told = json.dumps({"good": good, "text": text}).encode() + b"\n"
        write_atomically(self._folder / f"{errand.id}.answer", told)
        (self._folder / f"{errand.id}.json").unlink(missing_ok=True)


def _parsed(name: str, data: bytes) -> Errand | None:
    """Files are from outside: only what is right in every part is an errand."""
    try:
        errand = Errand(**json.loads(data))
        good = (
            errand.id == name
            and errand.what in WHAT
            and bytes.fromhex(errand.node).hex() == errand.node
            and len(errand.node) == (16 if errand.what in OF_NODES else 0)
            and bytes.fromhex(errand.data).hex() == errand.data
            and type(errand.until_ms) is int
            and 0 <= errand.until_ms < UNTIL_END_MS
            and type(errand.force) is bool
        )
    except (ValueError, TypeError, RecursionError):
        return None
    return errand if good else None


def said(e: OSError | PeersError) -> str:
    """An error in words, with what it was about."""
    if isinstance(e, PeersError) or e.strerror is None:
        return str(e)
    return f"{e.filename}: {e.strerror}" if e.filename else e.strerror
