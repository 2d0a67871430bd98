"""Who did what, to whom or what, and what came of it: statements in the agent's own signed chain.

An action is recorded before it is done, durably: one that cannot be recorded does not happen. Whoever takes a
line out, or changes one, breaks a Merkle root that the agent has signed and a collector has receipted.

Statements go to every forwarder: what may be of a person is in the store's details (store/details.py), and
shown here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from edge_agent.config import Config
from edge_agent.keys import PublicKeys
from edge_agent.store import details
from edge_agent.store.items import Entry, Item
from edge_agent.store.leaves import leaves_of
from edge_agent.store.rows import SealBroken, journal_rows
from edge_agent.store.schema import ENTRY_STATEMENT
from protocol import batch as wire
from protocol import cbor, crypto, handover, merkle
from protocol.cose import split1, verify1
from protocol.errors import BatchError, ProtocolError

ACTION = "action"
AGENT = "agent"
ERASED = "erased"
# Kinds of entries that are actions by themselves: the record says who, the statement before it who asked.
_LISTED = {6: "key handed over"}


def action(what: str, by: str, on: Any, now_ms: int, **more: Any) -> Entry:
    """The entry that says that `by` did `what` to `on`: ids as bytes, all else as text or numbers."""
    detail: dict[str, Any] = {"what": what, "by": by, "on": on}
    detail.update({name: value for name, value in more.items() if value is not None})
    return Entry(ENTRY_STATEMENT, cbor.dumps([ENTRY_STATEMENT, ACTION, detail]), now_ms)


def asked(what: str, by: str, on: Any, now_ms: int, told: dict[str, bytes | str | int]) -> list[Item]:
    """The same of what somebody asked for: of texts (names of people and files) the entry has the hash."""
    texts: dict[str, Any] = {name: value for name, value in told.items() if isinstance(value, str)}
    more: dict[str, Any] = {name: value for name, value in told.items() if name not in texts}
    if isinstance(on, str):
        texts["on"], on = on, b""
    if not texts:
        return [action(what, by, on, now_ms, **more)]
    more[details.HASH], row = details.withhold(texts, now_ms)
    return [row, action(what, by, on, now_ms, **more)]


def by_user(uid: int) -> str:
    """A user of this machine; names stay here."""
    return f"uid {uid}"


def by_operator(operator: bytes) -> str:
    """Whoever holds an operator's key."""
    return f"operator {operator.hex()}"


def by_authority(authority: bytes) -> str:
    """Whoever holds a clinic's key."""
    return f"authority {authority.hex()}"


def config_hash(config: Config) -> bytes:
    """SHA-256 of the configuration's file as it is; without one, of nothing."""
    if config.source is None:
        return crypto.sha256(b"")
    try:
        return crypto.sha256(config.source.read_bytes())
    except OSError:
        return crypto.sha256(b"")


class Line(NamedTuple):
    """One line of the log. `what`: the action, or the statement's code; `by`, `on`: as recorded, "" where the
    statement names none; `more`: all else that it says, with its details where they are here; `batch`: the id
    of the batch that it is signed in; `wrong`: why its details are not those that were stated.
    """

    journal: int
    at_ms: int
    what: str
    by: str
    on: Any
    more: dict[str, Any]
    batch: int | None
    wrong: str = ""


def lines(db: Any, since_ms: int = 0, what: str | None = None) -> Iterator[Line]:
    """The log from `since_ms` on, oldest first; `what`: of these actions only."""
    kinds = ", ".join(str(kind) for kind in (ENTRY_STATEMENT, *_LISTED))
    found = db.execute(
        "SELECT j.id, j.kind, j.data, j.made_ms, (SELECT b.id FROM batches b WHERE b.last_id >= j.id "
        "AND b.first_id <= j.id ORDER BY b.last_id LIMIT 1) "
        f"FROM journal j WHERE j.kind IN ({kinds}) AND j.made_ms >= ? ORDER BY j.id",
        (since_ms,),
    )
    for journal, kind, data, made_ms, batch in found:
        line = _line(journal, kind, data, made_ms, batch)
        if what is None or line.what == what:
            yield _with_details(db, line)


def _line(journal: int, kind: int, data: bytes, made_ms: int, batch: int | None) -> Line:
    if kind in _LISTED:
        return Line(journal, made_ms, _LISTED[kind], AGENT, b"", {}, batch)
    try:
        _, code, told = cbor.loads(data)
        detail = dict(told)
    except (ProtocolError, TypeError, ValueError):
        return Line(journal, made_ms, "damaged", "", b"", {}, batch)
    if code != ACTION:
        on = detail.pop("node", b"") if isinstance(detail.get("node"), bytes) else b""
        # A command from afar names its authority, an order from here the user.
        by = detail.pop("by", AGENT)
        by = by_authority(by) if isinstance(by, bytes) else str(by)
        return Line(journal, made_ms, str(code), by, on, detail, batch)
    known = [detail.pop(name, "") for name in ("what", "by", "on")]
    return Line(journal, made_ms, str(known[0]), str(known[1]), known[2], detail, batch)


def _with_details(db: Any, line: Line) -> Line:
    """With what the statement kept back, where that is still here."""
    told = line.more.get(details.HASH)
    if not isinstance(told, bytes):
        return line
    more = {name: value for name, value in line.more.items() if name != details.HASH}
    try:
        found = details.read(db, told)
    except SealBroken as e:
        return line._replace(wrong=f"entry {line.journal}: {e}")
    if found is None:
        return line._replace(more=more | {details.HASH: ERASED})
    return line._replace(on=found.pop("on", line.on), more=more | found)


class Checked(NamedTuple):
    """What holds of the chain around some lines: `good`, ids of batches whose signature and root are right;
    `wrong`, a sentence for each thing that is not.
    """

    good: set[int | None]
    wrong: list[str]


def verify(db: Any, agent: PublicKeys, wanted: set[int]) -> Checked:
    """Check that every batch follows the one before it, and of the `wanted` ones signature, root and count,
    over their entries as they are in the journal. `agent`: the agent's first public keys.
    """
    good: set[int | None] = set()
    wrong: list[str] = []
    previous: dict[bytes, tuple[int, bytes]] = {}
    reached = 0
    try:
        keys = _keys(db, agent)
    except BatchError as e:
        return Checked(good, [f"the agent's signing keys do not follow from its first: {e}"])
    for batch, chain, number, first, last, preamble, signed, digest in db.execute(
        "SELECT id, chain, number, first_id, last_id, preamble, signed, hash FROM batches ORDER BY id"
    ).fetchall():
        name = f"batch {number} of chain {chain.hex()}"
        before = previous.get(chain, (-1, wire.FIRST_PREVIOUS))
        previous[chain] = (number, digest)
        if first != reached + 1:
            wrong.append(f"{name} begins at entry {first}, after entry {reached}")
        reached = last
        try:
            head = split1(signed, "head")[0]
            fields = wire.parse_head(head)
            told = (fields[2], fields[3], fields[4], fields[5], wire.head_hash(head))
            if told != (agent.id, chain, before[0] + 1, before[1], digest) or fields[4] != number:
                wrong.append(f"{name} does not follow number {before[0]}")
            elif batch in wanted:
                _check_signature(signed, keys)
                leaves = leaves_of(cbor.loads(preamble), list(journal_rows(db, first, last))).hashes
                if merkle.root(leaves) != fields[6] or len(leaves) != fields[7]:
                    wrong.append(f"{name}: its entries are not those that were signed")
                else:
                    good.add(batch)
        except (ProtocolError, TypeError, ValueError) as e:
            wrong.append(f"{name}: {e}")
    return Checked(good, wrong)


def _keys(db: Any, agent: PublicKeys) -> list[bytes]:
    """The agent's signing keys, the newest first: its own, and those that were handed over to."""
    records: Sequence[bytes] = [
        record
        for (record,) in db.execute("SELECT handover FROM signers WHERE handover IS NOT NULL ORDER BY id")
    ]
    followed = handover.read_chain(agent.ed_pub, records, agent.id)
    return [*(one.new_pub for one in reversed(followed)), agent.ed_pub]


def _check_signature(signed: bytes, keys: list[bytes]) -> None:
    for key in keys[:-1]:
        try:
            verify1(signed, key, "head")
            return
        except BatchError:
            continue
    verify1(signed, keys[-1], "head")
