"""Statements about updates in the agent's chain. Groups' names and what nodes and people said in words are
kept back (store/details.py): a statement goes to every forwarder.
"""

from collections.abc import Callable
from typing import Any

from edge_agent.nodes.ingest import Done
from edge_agent.store import details
from edge_agent.store.items import Entry, Item, Outcome
from edge_agent.store.schema import ENTRY_STATEMENT
from protocol import cbor


class Stating:
    """`add` takes entries for the store."""

    def __init__(self, add: Callable[[Item, Done | None], None], unix_ms: Callable[[], int]) -> None:
        self._add = add
        self._unix_ms = unix_ms
        self._offered: set[tuple[str, bytes]] = set()

    def state(
        self,
        code: str,
        detail: dict[str, Any],
        words: dict[str, str],
        node: bytes | None = None,
        done: Done | None = None,
    ) -> None:
        """One statement. `words`: what stays here; `node`: whose it is; `done`: called when it is durable."""
        kept_back = {name: text for name, text in words.items() if text}
        if node is not None:
            detail = {"node": node, **detail}
        if kept_back:
            detail[details.HASH], row = details.withhold(kept_back, self._unix_ms(), node)
            self._add(row, None)
        self._add(Entry(ENTRY_STATEMENT, cbor.dumps([ENTRY_STATEMENT, code, detail]), self._unix_ms()), done)

    def offered(
        self, rollout: str, node: bytes, update: bytes, version: str, stated: Callable[[], None]
    ) -> None:
        """That a node is offered an update, once for each roll-out; `stated` is called when it is durable:
        nothing leaves before.
        """
        if (rollout, node) in self._offered:
            stated()
            return

        def durable(_: Outcome) -> None:
            self._offered.add((rollout, node))
            stated()

        detail = {"rollout": rollout, "update": update, "version": version}
        self.state("update_offered", detail, {}, node, durable)
