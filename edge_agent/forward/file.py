"""The air gap: batches as files in a folder of a medium that is carried, receipts as files that come back.

One file a batch, `<agent>-<chain>-<number>.batch`, the same sealed bytes that a broker would get: there whole
under its name, or not there (temporary file, fsync, rename, fsync of the folder). What has no receipt is on
every medium that is put in, because nobody knows which one arrives; what has one is taken off. The folder is
never made here: where a medium is not mounted, it would fill the machine's own disk. Only files of this agent
are touched; all others stay as they are.
"""

import asyncio
import errno
import heapq
import logging
import math
import os
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.beside import beside
from edge_agent.config import FileConfig
from edge_agent.files import fsync_folder
from edge_agent.forward.base import Flight, OutletOwner, Sender, Source
from edge_agent.forward.channels import BatchChannel
from edge_agent.store.chain import LIVE_PLACES
from edge_agent.tasks import end

if TYPE_CHECKING:
    from edge_agent.custody.delivery import Delivery

log = logging.getLogger("vitalwire.file")

POLL_S = 2.0
MAX_RECEIPT = 64 << 10
# So many receipts are read at a look; one whose file is still there is read again after a while, because
# more may come than can be verified.
AT_ONCE = 100
AGAIN_S = 600.0
# Names of files that are not ours, or that cannot be used, are told up to so many.
MAX_NAMED = 3
# So many batches are on a medium at most, and remembered; the next follow when those have their receipts.
MAX_FILES = 50_000
# So many files of a medium are asked about at a time: whatever else wants the store comes in between.
ASKED = 500
BATCH, RECEIPT, PARTIAL = ".batch", ".receipt", ".partial"


NAME = "file"
# A file: its name, size and time of change.
_Stamp = tuple[str, int, int]
# A batch on the medium has no time of its own to be sent again.
_THERE = Flight(0.0)


class FileSource(Source, Protocol):
    """Where batches come from, and what they are called."""

    def label(self, batch: int) -> Awaitable[tuple[bytes, int]]:
        """Its chain and number."""
        ...

    def newest(self) -> Awaitable[int]:
        """The id of the newest batch; ids have no gaps."""
        ...

    def receipted_of(
        self, forwarder: str, batches: Sequence[tuple[bytes, int]]
    ) -> Awaitable[set[tuple[bytes, int]]]:
        """Those of these batches, by chain and number, that have the receipt of that forwarder."""
        ...


class FileOutlet:
    """The two folders. `problem` says what is wrong with them, and what to do."""

    def __init__(self, config: FileConfig, agent_id: bytes, owner: OutletOwner) -> None:
        self.connected = False
        self.problem: str | None = None
        self.max_message: int | None = None
        self.ignored: list[str] = []
        self._config = config
        self._prefix = f"{agent_id.hex()}-"
        self._owner = owner
        self._medium: object = None
        self._seen: dict[_Stamp, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin looking at the folders."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more; what is written is whole."""
        if self._task is not None:
            await end(self._task)

    def status(self) -> dict[str, Any]:
        """For people and status.json."""
        return {
            "out": str(self._config.out),
            "connected": self.connected,
            "problem": self.problem,
            "ignored": self.ignored[:MAX_NAMED],
        }

    def name(self, chain: bytes, number: int) -> str:
        """What the file of a batch is called."""
        return f"{self._prefix}{chain.hex()}-{number}{BATCH}"

    def label(self, name: str) -> tuple[bytes, int] | None:
        """The chain and number in the name of a batch's file; None: it has none."""
        chain, _, number = name.removeprefix(self._prefix).removesuffix(BATCH).partition("-")
        try:
            found = bytes.fromhex(chain), int(number)
        except ValueError:
            return None
        return found if self.name(*found) == name else None

    # Not in the event loop: media are slow

    def listed(self) -> set[str]:
        """Our batches that are on the medium whole. OSError as it comes."""
        found: set[str] = set()
        for name in os.listdir(self._config.out):
            if name.startswith(f".{self._prefix}") and name.endswith(PARTIAL):
                with suppress(OSError):
                    os.unlink(self._config.out / name)
            elif name.startswith(self._prefix) and name.endswith(BATCH):
                found.add(name)
        return found

    def write(self, name: str, message: bytes) -> None:
        """The file, whole and durable. OSError: it is not there."""
        path = self._config.out / name
        partial = self._config.out / f".{name}{PARTIAL}"
        try:
            # What lies there under that name may lead elsewhere.
            partial.unlink(missing_ok=True)
            with partial.open("xb") as file:
                file.write(message)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            fsync_folder(self._config.out)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise

    def remove(self, name: str) -> None:
        """Take off what has a receipt, with the receipt; a medium that refuses keeps them."""
        for folder, one in ((self._config.out, name), (self._config.receipts, _receipt_of(name))):
            if folder is not None:
                with suppress(OSError):
                    os.unlink(folder / one)

    # The event loop

    def failed(self, error: OSError) -> None:
        """A write did not succeed: nothing more is written until the medium was looked at again."""
        self._lost(f"{self._config.out} cannot be written ({_words(error)}): {_remedy(error)}")

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """See which medium is there, and what came back on it."""
        try:
            medium, receipts = await beside(self._read)
        except OSError as e:
            self._lost(f"{e.filename or self._config.out}: {_words(e)}: {_remedy(e)}")
            return
        for receipt in receipts:
            self._owner.received(receipt)
        if not self.connected or medium != self._medium:
            self._medium = medium
            self.connected = True
            self.problem = None
            log.info("%s: there, batches are written to it", self._config.out)
            self._owner.connected()

    def _lost(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        if self.connected:
            self.connected = False
            self._owner.disconnected()

    def _read(self) -> tuple[object, list[bytes]]:
        out = os.stat(self._config.out)
        if not os.access(self._config.out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._config.out))
        folder = self._config.receipts
        receipts: list[bytes] = []
        ignored: list[str] = []
        there: list[tuple[float, _Stamp, str]] = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(folder) if folder is not None else ():
                self._consider(entry, there, ignored)
        now = time.monotonic()
        due = [one for one in there if now - one[0] >= AGAIN_S]
        self._seen = {stamp: read_at for read_at, stamp, _ in there}
        # Those that wait longest first: files that are of no use any more hold up none that is.
        for _, stamp, path in heapq.nsmallest(AT_ONCE, due):
            self._seen[stamp] = now
            with open(path, "rb") as file:
                receipts.append(file.read(MAX_RECEIPT))
        for new in sorted(set(ignored) - set(self.ignored))[:MAX_NAMED]:
            log.warning("%s: left as it is", new)
        self.ignored = ignored
        return (out.st_dev, out.st_ino), receipts

    def _consider(
        self, entry: "os.DirEntry[str]", there: list[tuple[float, _Stamp, str]], ignored: list[str]
    ) -> None:
        if not entry.name.endswith(RECEIPT) or entry.name.startswith("."):
            return
        if not entry.name.startswith(self._prefix):
            ignored.append(f"{entry.path}: another agent's")
            return
        found = entry.stat(follow_symlinks=False)
        if not entry.is_file(follow_symlinks=False) or not 0 < found.st_size <= MAX_RECEIPT:
            ignored.append(f"{entry.path}: no receipt ({found.st_size} bytes)")
            return
        stamp = entry.name, found.st_size, found.st_mtime_ns
        there.append((self._seen.get(stamp, -math.inf), stamp, entry.path))


class FileForwarder(Sender):
    """Keeps every medium complete: all that has no receipt is on it. `flights` are those on the newest."""

    def __init__(self, name: str, source: FileSource, outlet: FileOutlet) -> None:
        super().__init__(name, source)
        self._files = outlet
        self._labels = source
        self._names: dict[int, str] = {}
        self._done: list[str] = []
        self._there: set[str] | None = None
        self._upto = 0

    def connected(self) -> None:
        """A medium was put in: it is not known what is on it."""
        self._there = None

    def receipted(self, batch: int) -> None:
        """The receipt of a batch was verified: its file has done its work."""
        self.flights.pop(batch, None)
        name = self._names.pop(batch, None)
        if name is not None:
            self._done.append(name)

    def refused(self, digest: bytes | None, code: str) -> None:
        """Nobody refuses by file."""

    async def pump(self) -> None:
        """Write what is missing, take off what is done."""
        if not self._files.connected:
            return
        try:
            wanted = await self._wanted()
            if self._there is None:
                self._there = await beside(self._files.listed)
                self._done += await self._finished(self._there)
            while self._done:
                name = self._done.pop()
                self._there.discard(name)
                await beside(self._files.remove, name)
            for batch in wanted:
                await self._ensure(batch, self._there)
            while self._again:
                await self._write(self._again[0], await self._named(self._again[0]))
                self._again.pop(0)
        except OSError as e:
            self._there = None
            self._files.failed(e)

    async def _finished(self, there: set[str]) -> list[str]:
        """Files whose batches got their receipts by another medium."""
        labels = {label: name for name in there if (label := self._files.label(name)) is not None}
        found: list[str] = []
        asked = sorted(labels)
        for first in range(0, len(asked), ASKED):
            piece = asked[first : first + ASKED]
            found += [labels[one] for one in await self._labels.receipted_of(self.name, piece)]
        return found

    async def _wanted(self) -> Sequence[int]:
        """The batches that the medium may lack: all without a receipt when it was put in, then new ones."""
        newest = await self._labels.newest()
        if self._there is None:
            self.flights.clear()
            found = await self._source.unreceipted(self.name, MAX_FILES)
            # The newest are among them before their turn: those between follow.
            whole = len(found) < MAX_FILES
            self._upto = max([newest, *found[-1:]]) if whole else found[-1 - LIVE_PLACES]
            return found
        first, room = self._upto + 1, max(0, MAX_FILES - len(self.flights))
        self._upto = max(self._upto, min(newest, self._upto + room))
        return range(first, self._upto + 1)

    async def _ensure(self, batch: int, there: set[str]) -> None:
        name = await self._named(batch)
        if name not in there:
            await self._write(batch, name)
            there.add(name)
        self.flights[batch] = _THERE

    async def _named(self, batch: int) -> str:
        if batch not in self._names:
            self._names[batch] = self._files.name(*await self._labels.label(batch))
        return self._names[batch]

    async def _write(self, batch: int, name: str) -> None:
        message = await self._source.message(self.name, batch)
        await beside(self._files.write, name, message)
        self.resent += batch in self.flights
        self.sent += 1
        self.sent_bytes += len(message)


class FileChannel(BatchChannel):
    """The forwarder of that name."""

    def __init__(self, config: FileConfig, delivery: "Delivery", agent_id: bytes) -> None:
        super().__init__(
            NAME, config.required, delivery, lambda owner: FileOutlet(config, agent_id, owner), 0.0
        )
        self.forwarder = FileForwarder(NAME, delivery, self.outlet)


def _receipt_of(name: str) -> str:
    return name.removesuffix(BATCH) + RECEIPT


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "put the medium in, and make the folder on it; batches wait in the store"
    if error.errno == errno.ENOSPC:
        return "it is full: carry it to the collector, or make room; batches wait in the store"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "give the agent's user the right to write there; batches wait in the store"
    return "put in another medium; batches wait in the store"
