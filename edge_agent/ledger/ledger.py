"""The completeness ledger: what became of every frame that a node numbered.

For each boot of each node, `produced = delivered + pending + evicted + evicted_here + lost_at_reset +
elsewhere + lost_at_agent`:

- produced: numbers that existed: the newest of the hello's next number, the highest number seen, and what a
  later boot stated of this one;
- delivered: in a batch whose receipt is verified;
- pending: stored here without a receipt, or still with the node;
- evicted: named by a loss frame of the node and not stored;
- evicted_here: stored here, and given up before it was delivered, for want of room (a signed statement says
  so) or because its person's data were erased;
- lost_at_reset: not stored, and of a boot that has ended: gone with its RAM, or acknowledged by another agent
  after this one was last told of it. An upper bound where there is another agent; `bound_s` is the node's own
  bound on what may have existed beyond `produced` (None: the statement is not here either);
- elsewhere: not stored, and named by the node as held no longer after another of its agents was served: that
  one has them, or was told why not. (What this store lost after it had them is here, too, then.)
- lost_at_agent: freed by the node on our acknowledgement and gone from this store, because an earlier store
  was damaged or a backup restored. It is an upper bound: the collector may hold them.

Numbers that none of these explains are `unexplained`: the ledger does not balance. Nor does it when a frame
stands in more than one batch (`duplicates`). `resent` (received again, stored once) and `conflicts` (received
again with other content, not stored) are counts beside the sum.

Boots that later ones speak of together have one row (`what` is "summary"), and so have neighbours of which
nothing has arrived at all ("gap"): a boot counter leaves no value out. A gap has no numbers to balance: its
boots were another agent's, or older than this store, or their statements were lost here.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.ledger.facts import BootFacts
from edge_agent.ledger.hearsay import Heard, Rest, Summary, joined, rest
from edge_agent.ledger.ranges import Ranges
from edge_agent.readable import counted, readable
from edge_agent.store import keys
from edge_agent.store.database import Database, open_file
from edge_agent.store.loading import load_facts, load_summaries, statements, withheld

# A number that the node did not hold when its connection proved live, and that no loss frame has named since
# although all that it did hold has come, is not explained: loss frames are sealed within seconds of the
# eviction or of the link's return, and go before the waveforms.
SETTLED_MS = 60_000
BOOT, SUMMARY, GAP = "boot", "summary", "gap"


@dataclass(frozen=True)
class Row:
    """One boot's account; counts of frames. `node` and `boot` in hex.

    `what`: "boot", or of `boots` boots with counters from `counter` to `last`: "summary", "gap".
    """

    node: str
    boot: str
    counter: int
    current: bool
    produced: int
    delivered: int
    pending: int
    evicted: int
    evicted_here: int
    lost_at_reset: int
    elsewhere: int
    lost_at_agent: int
    unexplained: int
    duplicates: int
    resent: int
    conflicts: int
    clean: bool | None
    bound_s: int | None
    what: str = "boot"
    last: int = 0
    boots: int = 1
    contradiction: str = ""

    @property
    def balanced(self) -> bool:
        """Whether every number produced is accounted for, once."""
        return self.unexplained == 0 and self.duplicates == 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"balanced": self.balanced}


# What `produced` is the sum of.
PARTS = (
    "delivered",
    "pending",
    "evicted",
    "evicted_here",
    "lost_at_reset",
    "elsewhere",
    "lost_at_agent",
    "unexplained",
)
COUNTS = ("produced", *PARTS, "duplicates", "resent", "conflicts")


@dataclass(frozen=True)
class Ledger:
    """All boots' rows, and the agent's own statements (code, detail, Unix ms) about what it lost or found.

    `withheld`: by forwarder, entries that it may not have for want of consent. Of a required one they are
    pending for as long.
    """

    rows: tuple[Row, ...]
    statements: tuple[tuple[str, dict[str, Any], int], ...] = ()
    withheld: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def totals(self) -> dict[str, int]:
        """The sum of each count over all rows."""
        return {name: sum(getattr(row, name) for row in self.rows) for name in COUNTS}

    @property
    def unheard_boots(self) -> int:
        """How many boots there were of which nothing has arrived."""
        return sum(row.boots for row in self.rows if row.what == GAP)

    @property
    def contradictions(self) -> int:
        """How many rows hold something that does not fit."""
        return sum(bool(row.contradiction) for row in self.rows)

    @property
    def balanced(self) -> bool:
        """Whether every row balances."""
        return all(row.balanced for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; bytes as hex."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "totals": self.totals,
            "unheard_boots": self.unheard_boots,
            "withheld": dict(self.withheld),
            "balanced": self.balanced,
            "statements": [
                {"code": code, "detail": readable(detail), "at_ms": at_ms}
                for code, detail, at_ms in self.statements
            ],
        }


def account(
    facts: Iterable[BootFacts], summaries: Mapping[bytes, Iterable[Summary]] | None = None
) -> tuple[Row, ...]:
    """The rows for these boots, by node, then by boot, oldest first. `summaries`: by node."""
    nodes: dict[bytes, list[BootFacts]] = {}
    for boot in facts:
        nodes.setdefault(boot.node, []).append(boot)
    rows: list[Row] = []
    for node in sorted(nodes):
        boots = sorted(nodes[node], key=lambda f: f.boot)
        said = list((summaries or {}).get(node, ()))
        rows += _node_rows(node, boots, said)
    return tuple(rows)


def _node_rows(node: bytes, boots: list[BootFacts], said: list[Summary]) -> list[Row]:
    rows: list[Row] = []
    statement_may_come = False
    spans = [summary for summary, _ in joined(said)]
    for n in range(len(boots) - 1, -1, -1):
        boot = boots[n]
        current = n == len(boots) - 1
        while spans and spans[-1].first > boot.counter:
            spans.pop()
        within = spans[-1] if spans and boot.counter <= spans[-1].last else None
        twice = n > 0 and boots[n - 1].counter == boot.counter
        rows.append(_row(boot, current, statement_may_come, within, twice))
        # A boot's first frame states those before; it is on its way while the node may still send it.
        may_hold = boot.listed and 0 in boot.held if boot.live_ms is not None else current
        if 0 not in boot.stored and may_hold:
            statement_may_come = True
    heard = [Heard(boot.counter, boot.statement, boot.produced) for boot in boots]
    rows += [_rest_row(node, one) for one in rest(heard, said)]
    return sorted(rows, key=lambda row: (row.counter, row.boot))


def _rest_row(node: bytes, one: Rest) -> Row:
    known = one.told.known if one.told else 0
    nothing = dict.fromkeys(COUNTS, 0)
    return Row(
        node=node.hex(),
        boot="",
        counter=one.first,
        current=False,
        **nothing | {"produced": known, "lost_at_reset": known},
        clean=None,
        bound_s=one.told.bound_s if one.told else None,
        what=SUMMARY if one.told else GAP,
        last=one.last,
        boots=one.boots,
        contradiction=one.contradiction,
    )


def _contradiction(boot: BootFacts, twice: bool) -> str:
    statement = boot.statement
    if twice:
        return "another boot has the same number: the node's flash was put back to an earlier state"
    if len(boot.said) > 1:
        return f"later boots contradict each other about it: {len(boot.said)} different statements"
    if statement and statement.clean and boot.produced > statement.known_next:
        return (
            f"said to have ended in order with {counted(statement.known_next, 'frame')}, and there were more"
        )
    return ""


def _row(
    boot: BootFacts, current: bool, statement_may_come: bool, within: Summary | None, twice: bool
) -> Row:
    statement, produced = boot.statement, boot.produced
    missing = Ranges([(0, produced)]).minus(boot.stored)
    evicted = missing.both(boot.losses)
    missing = missing.minus(evicted)
    elsewhere = missing.both(boot.elsewhere)
    missing = missing.minus(elsewhere)
    at_agent = missing.both(boot.agent_losses)
    missing = missing.minus(at_agent)
    at_reset = unexplained = 0
    settled = boot.live_ms is not None and boot.heard_ms - boot.live_ms >= SETTLED_MS
    if settled and not missing.both(boot.held):
        # A reset takes what the node held. What was a riddle before it stays one.
        gone = missing.both(Ranges([(0, boot.next_seq)])).minus(boot.held)
        unexplained = gone.count
        missing = missing.minus(gone)
    if not current and (statement is not None or within is not None or not statement_may_come):
        at_reset = (missing.minus(boot.held) if boot.listed else missing).count
    return Row(
        node=boot.node.hex(),
        boot=boot.boot.hex(),
        counter=boot.counter,
        current=current,
        produced=produced,
        delivered=boot.delivered,
        pending=boot.stored.count - boot.delivered - boot.evicted_here + missing.count - at_reset,
        evicted=evicted.count,
        evicted_here=boot.evicted_here,
        lost_at_reset=at_reset,
        elsewhere=elsewhere.count,
        lost_at_agent=at_agent.count,
        unexplained=unexplained,
        duplicates=boot.duplicates,
        resent=boot.resent,
        conflicts=boot.conflicts,
        clean=statement.clean if statement else None,
        bound_s=statement.bound_s if statement else within.bound_s if within else None,
        last=boot.counter,
        contradiction=_contradiction(boot, twice),
    )


def ledger(store: Path | Database, source: keys.Source | None = None) -> Ledger:
    """The ledger of the store at this path (the agent may be running), or behind this connection.

    `source`: where the key comes from. StoreKeyError.
    """
    if isinstance(store, Database):
        rows = account(load_facts(store).values(), load_summaries(store))
        return Ledger(rows, statements(store), withheld(store))
    with closing(open_file(store, source)) as db:
        db.execute("BEGIN")
        return ledger(db)
