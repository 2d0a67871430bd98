"""What a transaction changes in the store's memory, applied once it is on the disk."""

from typing import TYPE_CHECKING

from edge_agent.ledger.facts import BootFacts
from edge_agent.ledger.hearsay import Statement, Summary
from edge_agent.ledger.ranges import Ranges
from edge_agent.store.items import Count, Hello
from edge_agent.store.rows import JournalRow

if TYPE_CHECKING:
    from edge_agent.store.store import Store


class Changes:
    """What a transaction will have changed in memory, once it is on the disk."""

    def __init__(self) -> None:
        self.boots: dict[tuple[bytes, bytes], BootFacts] = {}
        self.frames: list[tuple[BootFacts, int, int]] = []
        self.rows: list[JournalRow] = []
        self.losses: list[tuple[BootFacts, int, int, int]] = []
        self.examined: list[tuple[BootFacts, int, Ranges]] = []
        self.said: list[tuple[BootFacts, Statement]] = []
        self.summaries: list[tuple[bytes, Summary]] = []
        self.held: list[tuple[BootFacts, int, Ranges, bool, int | None]] = []
        self.resent: list[BootFacts] = []
        self.conflicts: list[BootFacts] = []
        self.hellos: list[Hello] = []
        self.counts: list[Count] = []
        self.journal = 0

    def apply(self, store: "Store") -> None:
        """Bring the store's memory up to what is on the disk."""
        for key, facts in self.boots.items():
            store.boots[key] = store.facts[facts.row] = facts
        for facts, seq, at_ms in self.frames:
            facts.stored.add(seq)
            facts.heard_ms = at_ms
            store.uncharted.add(facts.row)
        store.frames += len(self.frames)
        for facts, first, count, reason in self.losses:
            facts.lost(first, count, reason)
        for facts, incident, gone in self.examined:
            facts.examined = incident
            for pair in gone:
                facts.agent_losses.add(*pair)
        for facts, statement in self.said:
            facts.said.append(statement)
        for node, summary in self.summaries:
            store.summaries.setdefault(node, []).append(summary)
        for facts, next_seq, ranges, listed, live_ms in self.held:
            facts.next_seq, facts.held, facts.listed, facts.live_ms = next_seq, ranges, listed, live_ms
            store.seen_live.add(facts.row)
        for facts in self.resent:
            facts.resent += 1
        for facts in self.conflicts:
            facts.conflicts += 1
        for hello in self.hellos:
            store.hellos[hello.node] = (hello.counter, hello.conn)
        for name, more in self.counts:
            store.counters[name] = store.counters.get(name, 0) + more
        store.recent.add(self.rows)
        store.last_journal = self.journal
        store.write_mark()
