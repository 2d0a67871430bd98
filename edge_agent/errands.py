"""What a command asks of the agent that runs: a file each, beside the file of paired nodes.

The agent owns its links, so a command cannot speak to a node itself while it runs. `ID.json` is the errand:
it holds until the command takes it back, or until its time is over, also if the agent starts only later.
`ID.answer` is the agent's answer, which the command removes.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from edge_agent.files import write_atomically
from edge_agent.orders import Order, Orders
from edge_agent.peers import Peers, PeersError
from protocol import frames

IDENTIFY, UNPAIR = "identify", "unpair"
WHAT = (IDENTIFY, UNPAIR)
# An answer that nobody has fetched for so long is nobody's.
FORGOTTEN_MS = 3_600_000


@dataclass(frozen=True)
class Errand:
    """`what`: IDENTIFY or UNPAIR; `node`: its id in hex; `force`: without the node's word; `until_ms`: Unix
    time after which nobody waits for it.
    """

    id: str
    what: str
    node: str
    until_ms: int
    force: bool = False


class Errands:
    """The folder of errands, as both ends use it. OSError as it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, what: str, node: bytes, until_ms: int, force: bool = False) -> Errand:
        """Ask durably."""
        errand = Errand(os.urandom(8).hex(), what, node.hex(), until_ms, force)
        path = self._folder / f"{errand.id}.json"
        write_atomically(path, json.dumps(asdict(errand)).encode() + b"\n")
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
        """The errands that are not answered. Files that are none are removed, and so are answers of long ago
        and what a command left half written as long ago.
        """
        found: list[Errand] = []
        for path in sorted(self._folder.glob("*.*")):
            # A hidden file is one that a command writes at this moment.
            if path.suffix == ".answer" or path.name.startswith("."):
                if _age_ms(path, now_ms) > FORGOTTEN_MS:
                    path.unlink(missing_ok=True)
                continue
            errand = _read(path)
            if errand is None:
                path.unlink(missing_ok=True)
            else:
                found.append(errand)
        return found

    def answer(self, errand: Errand, good: bool, text: str) -> None:
        """Say what became of it; it is not waiting any more."""
        told = json.dumps({"good": good, "text": text}).encode() + b"\n"
        write_atomically(self._folder / f"{errand.id}.answer", told)
        (self._folder / f"{errand.id}.json").unlink(missing_ok=True)


def _age_ms(path: Path, now_ms: int) -> int:
    try:
        return now_ms - path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0


def _read(path: Path) -> Errand | None:
    try:
        errand = Errand(**json.loads(path.read_bytes()))
        bytes.fromhex(errand.node)
        good = errand.id == path.stem and errand.what in WHAT and errand.until_ms + 0 >= 0
    except (OSError, ValueError, TypeError):
        return None
    return errand if good and path.suffix == ".json" else None


class Runner:
    """Runs errands: orders to nodes, and what comes of their answers. `drop(node)`: end the session with a
    node that is forgotten without its word.
    """

    def __init__(
        self,
        errands: Errands,
        orders: Orders,
        peers: Peers,
        drop: Callable[[bytes], None],
        unix_ms: Callable[[], int],
    ) -> None:
        self._errands = errands
        self._orders = orders
        self._peers = peers
        self._drop = drop
        self._unix_ms = unix_ms
        self._open: dict[str, tuple[Errand, Order | None]] = {}

    def step(self) -> None:
        """Take up what is new, drop what was taken back, answer what is done; a few times a second."""
        now_ms = self._unix_ms()
        waiting = {errand.id: errand for errand in self._errands.waiting(now_ms)}
        for key in [key for key in self._open if key not in waiting]:
            self._close(key)
        for errand in waiting.values():
            if errand.until_ms < now_ms:
                self._close(errand.id)
                self._errands.answer(errand, False, f"node {errand.node} did not answer in time")
            elif errand.id not in self._open and not self._follows(errand):
                self._begin(errand, now_ms)
        for errand, order in list(self._open.values()):
            if order is not None and order.outcome is not None:
                self._open[errand.id] = (errand, None)
                self._ended(errand, order)

    def _close(self, key: str) -> None:
        _, order = self._open.pop(key, (None, None))
        if order is not None:
            self._orders.withdraw(order)

    def _follows(self, errand: Errand) -> bool:
        """Whether it is asked already: of several un-pairings of a node one is sent, and answers for all. By
        force it waits for none.
        """
        return (
            errand.what == UNPAIR
            and not errand.force
            and any(one.what == UNPAIR and one.node == errand.node for one, _ in self._open.values())
        )

    def _begin(self, errand: Errand, now_ms: int) -> None:
        node = bytes.fromhex(errand.node)
        if self._peers.lookup(node) is None:
            self._errands.answer(errand, False, f"node {errand.node} is not paired with this agent")
            return
        order: Order | None = None
        left_s = (errand.until_ms - now_ms) / 1000
        if errand.what == IDENTIFY:
            order = self._orders.command(node, frames.OP_IDENTIFY, valid_s=left_s)
        elif not errand.force:
            order = self._orders.unpair(node, left_s)
        self._open[errand.id] = (errand, order)
        if order is None:
            self._forget(errand, None)

    def _ended(self, errand: Errand, order: Order) -> None:
        done = order.result in (frames.RESULT_DONE, frames.RESULT_BEGUN)
        if order.outcome == "answered" and errand.what == UNPAIR and done:
            self._forget(errand, order)
        elif order.outcome == "answered":
            more = f" ({order.detail})" if order.detail else ""
            self._errands.answer(errand, done, f"node {errand.node} answers: {order.result_name}{more}")
        elif order.outcome == "new_boot":
            text = f"node {errand.node} began anew before it answered: whether it did is not known"
            self._errands.answer(errand, False, text)
        else:
            self._errands.answer(errand, False, f"node {errand.node} did not answer in time")

    def _forget(self, errand: Errand, order: Order | None) -> None:
        """State it, durably, then forget the node, then say so."""
        node = bytes.fromhex(errand.node)
        detail: dict[str, Any] = {"node": node, "node_agreed": order is not None}
        if order is not None:
            detail["order"] = order.id

        def stated(_: object) -> None:
            try:
                self._peers.remove(node)
            except (PeersError, OSError) as e:
                self._errands.answer(errand, False, f"the node was told, but {e}")
                return
            if order is None:
                self._drop(node)
            told = (
                "it has forgotten this agent"
                if order
                else "without its word: it still takes us for its agent"
            )
            for one in self._errands.waiting(self._unix_ms()):
                if (one.what, one.node) == (UNPAIR, errand.node):
                    self._errands.answer(one, True, f"node {errand.node} is not paired any more; {told}")

        self._orders.state("node_unpaired", detail, stated)


__all__ = ("IDENTIFY", "UNPAIR", "Errand", "Errands", "Runner")
