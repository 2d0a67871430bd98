"""Resets at any moment, again and again: the agent's ledger accounts for every boot, by what the node says.

The firmware on its VM, killed; the agent's store behind a minimal agent. What a boot really numbered is read
from the memory that survives a reset, after the kill.
"""

import contextlib
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from edge_agent.ledger.ledger import PARTS, Ledger
from edge_agent.nodes.views import item_of
from edge_agent.store.opening import open_store
from edge_agent.store.store import Held, Store
from firmware.boots import BOOT_RECORDS, MAX_SAID, MAX_U32, read_retained
from firmware.flash import FlashError, Records
from protocol import cbor, frames
from protocol import session_events as ev
from tests.boards.test_rig import wait_until
from tests.firmware.conftest import Agent


class Bookkeeper(Agent):
    """An agent that acknowledges what its store has committed."""

    store: Store

    def _take(self, event) -> None:
        super()._take(event)
        if isinstance(event, ev.FrameIn):
            self.store.commit([item_of(event, 1)[0]])
        elif isinstance(event, ev.HelloAccepted):
            self.boots = event.boots
        elif isinstance(event, ev.Live):
            held = tuple((boot, next_seq, tuple(ranges)) for boot, next_seq, ranges in self.boots)
            self.store.commit([Held(event.node_id, held, 1)])

    @property
    def ledger(self) -> Ledger:
        return self.store.ledger()


@pytest.fixture
def bookkeeper(tmp_path):
    kept = []

    def make(port: str, name: str = "agent") -> Bookkeeper:
        agent = Bookkeeper(port)
        agent.store = open_store(tmp_path / f"{name}.db", agent.identity.id, 1)[0]
        kept.append(agent)
        return agent

    yield make
    for agent in kept:
        agent.close()
        agent.store.close()


class Truth:
    """What the node's boots really numbered, by boot counter, as far as the memory of its RTC tells."""

    def __init__(self, node) -> None:
        self.node = node
        self.numbered: dict[int, int] = {}

    def reset(self, power: bool = False) -> None:
        self.node.kill()
        path = Path(self.node._rtc_path)
        found = read_retained(path.read_bytes()) if path.exists() else None
        if found is not None:
            self.numbered[int.from_bytes(found[0][:4], "big")] = found[1]
        if power:
            self.node.power_cycle()
        else:
            self.node.reset(hard=True)


def counter(node) -> int:
    """Of the newest boot that is on the node's flash; one that is replaced while it is read is left out."""
    records = Records(str(node.flash_dir / "state"))
    found = []
    for place in BOOT_RECORDS:
        with contextlib.suppress(FlashError):
            found.append(int.from_bytes(cbor.loads(records.read(place))[0][:4], "big"))
    return max(found)


def settled(agent: Bookkeeper, truth: Truth) -> Ledger:
    """Let the boot that runs deliver and end in order; then everything is accounted for."""
    agent.acking = True
    truth.node.replug()
    agent.until(lambda: len(agent.of(frames.KIND_VITALS, running(agent, truth))) > 2, 60)
    agent.during(truth.node.stop)
    return agent.ledger


def running(agent: Bookkeeper, truth: Truth) -> bytes:
    """The boot that runs, once the agent has a frame of it."""
    newest = max(agent.frames, default=b"none")
    return newest if int.from_bytes(newest[:4], "big") > max(truth.numbered, default=0) else b"none"


def check(ledger: Ledger, truth: Truth) -> None:
    """Every boot in one row, every row a sum, none a gap, and no number that existed is missing."""
    assert ledger.balanced and not ledger.statements
    reached = 0
    for row in ledger.rows:
        assert row.produced == sum(getattr(row, part) for part in PARTS), row
        assert row.what != "gap" and not row.contradiction, row
        assert row.current or row.bound_s is not None, row
        if row.what == "boot" and (row.current or row.clean is not None):
            # Beyond what flash knows, a power cut leaves a bound; RTC memory knows all.
            numbered = truth.numbered.get(row.counter, 0)
            assert row.produced >= numbered or row.bound_s == 35, (row, numbered)
            assert row.produced <= max(numbered, 1) or row.current or row.counter not in truth.numbered
        assert row.counter <= reached + 1
        reached = max(reached, row.last)
    assert sum(row.boots for row in ledger.rows) == reached == ledger.rows[-1].counter
    assert ledger.rows[-1].current


@pytest.mark.parametrize("seed", [1, 2])
def test_resets_at_any_moment_with_and_without_an_agent(make_node, bookkeeper, seed):
    chance = random.Random(seed)
    node = make_node()
    truth = Truth(node)
    agent = bookkeeper(node.port)
    for _ in range(14):
        mood = chance.choice(("plugged", "plugged", "deaf", "unplugged"))
        agent.acking = mood != "deaf"
        if mood == "unplugged":
            node.unplug()
        else:
            node.replug()
        agent.run(chance.choice((0.05, 0.3, 0.8, 1.5, 3.0)))
        truth.reset(power=chance.random() < 0.3)
    check(settled(agent, truth), truth)


def test_more_boots_than_a_boot_frame_takes_die_before_anybody_hears_of_them(make_node, bookkeeper):
    node = make_node()
    truth = Truth(node)
    agent = bookkeeper(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    node.unplug()
    chance = random.Random(3)
    while max(truth.numbered, default=0) < 2 * MAX_SAID:
        committed = counter(node)
        truth.reset()
        after_s = chance.choice((None, 0.0, 0.1, 0.3))
        if after_s is None:
            # Before the counter is committed.
            time.sleep(0.1)
        else:
            # Until after some frames.
            wait_until(lambda committed=committed: counter(node) > committed)
            time.sleep(after_s)
    truth.reset()
    ledger = settled(agent, truth)
    check(ledger, truth)
    together = [row for row in ledger.rows if row.what == "summary"]
    assert len(together) == 1 and together[0].boots > MAX_SAID // 2
    of_them = [truth.numbered.get(n, 0) for n in range(together[0].counter, together[0].last + 1)]
    own = [row for row in ledger.rows if row.what == "boot" and row.counter <= together[0].last]
    assert together[0].produced + sum(row.produced for row in own) >= sum(of_them)


def test_a_node_reset_again_and_again_beside_its_agent_says_things_once(make_node, bookkeeper):
    """What has arrived leaves flash, so that the list does not grow."""
    node = make_node()
    truth = Truth(node)
    agent = bookkeeper(node.port)
    longest = 0
    for n in range(8):
        agent.until(lambda n=n: len(agent.frames) == n + 1 and len(agent.of(frames.KIND_VITALS)) > 1, 60)
        body = agent.of(frames.KIND_BOOT)[0][2]
        longest = max(longest, len(body.get(frames.BOOT_EARLIER, ())))
        # What is acknowledged goes in the second after that.
        agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 4)
        truth.reset()
    check(settled(agent, truth), truth)
    assert longest < 6


def test_resets_during_pairing(make_node, bookkeeper):
    node = make_node()
    truth = Truth(node)
    agent = bookkeeper(node.port)
    agent.pairing = False
    for wait_s in (0.0, 0.02, 0.1, 0.3, 1.0):
        begun = len(agent.events)
        agent.known.clear()
        agent.until(lambda begun=begun: any(isinstance(e, ev.Announced) for e in agent.events[begun:]))
        agent.session.request_pairing(bytes(16))
        agent.run(wait_s)
        truth.reset()
    # Whether the node kept us or not: the next request that it hears pairs. It hears none that follows the
    # hello of the boot before.
    agent.known.clear()
    nonce, seen = os.urandom(16), len(agent.events)

    def paired() -> bool:
        nonlocal seen
        if any(isinstance(e, ev.Announced) for e in agent.events[seen:]):
            seen = len(agent.events)
            agent.session.request_pairing(nonce)
        return bool(agent.known)

    agent.until(paired)
    ledger = settled(agent, truth)
    check(ledger, truth)
    assert ledger.rows[0].counter == 1


def test_of_two_agents_the_one_that_acknowledges_has_the_statement(make_node, bookkeeper):
    node = make_node()
    one = bookkeeper(node.port, "one")
    one.until(lambda: len(one.of(frames.KIND_VITALS)) > 1)
    node.bench.pins["BUTTON"] = 1
    two = bookkeeper(node.port, "two")
    two.pairing = False
    two.session.request_pairing(bytes(16))
    two.until(lambda: two.known)
    node.bench.pins["BUTTON"] = 0
    truth = Truth(node)
    for agent in (two, one):
        truth.reset()
        agent.until(lambda agent=agent: len(agent.of(frames.KIND_VITALS, running(agent, truth))) > 1, 60)
        agent.during(node.stop)
    assert [row.counter for row in two.ledger.rows] == [1, 2]
    assert two.ledger.rows[0].bound_s is not None
    # The second boot's frame, which states the first boot, was acknowledged by the other agent.
    assert [(row.counter, row.bound_s is None) for row in one.ledger.rows] == [
        (1, True),
        (2, False),
        (3, True),
    ]
    assert one.ledger.balanced and two.ledger.balanced


def test_flash_put_back_to_an_earlier_state_is_named_and_lowers_nothing(make_node, bookkeeper, tmp_path):
    node = make_node()
    truth = Truth(node)
    agent = bookkeeper(node.port)

    def boot_until_vitals() -> None:
        agent.until(lambda: len(agent.of(frames.KIND_VITALS, running(agent, truth))) > 1, 60)

    boot_until_vitals()
    node.kill()
    shutil.copytree(node.flash_dir, tmp_path / "image")
    truth.reset(power=True)
    boot_until_vitals()
    truth.reset()
    boot_until_vitals()
    node.kill()
    shutil.rmtree(node.flash_dir)
    shutil.copytree(tmp_path / "image", node.flash_dir)
    before = agent.ledger
    truth.reset(power=True)
    # Boot 2, again: its hello is refused, and so is that of the next.
    for _ in range(2):
        refused = agent.session.rejected.get("replayed_hello", 0)
        agent.until(lambda refused=refused: agent.session.rejected.get("replayed_hello", 0) > refused, 60)
        truth.reset(power=True)
    boot_until_vitals()
    ledger = agent.ledger
    assert [(row.counter, row.what) for row in ledger.rows] == [(n, "boot") for n in (1, 2, 2, 3, 3, 4)]
    assert [bool(row.contradiction) for row in ledger.rows] == [False, False, True, False, True, False]
    assert all("the same number" in row.contradiction for row in ledger.rows if row.contradiction)
    after = {row.boot: row.produced for row in ledger.rows}
    assert all(after[row.boot] >= row.produced for row in before.rows) and ledger.balanced


def test_the_longest_list_of_statements_fits_into_an_esp32(bare_esp32, make_agent):
    """Bytecode on an ESP32's heap; the flash is prepared as so many boots would leave it."""
    state = bare_esp32._flash / "state"
    state.mkdir(parents=True)
    last = [(99).to_bytes(4, "big") + bytes(8), 1 << 31, False, 35]
    older = [[1, 83, MAX_U32, MAX_U32]]
    older += [[n.to_bytes(4, "big") + bytes(8), 1 << 31, False, 1 << 31] for n in range(84, 99)]
    record = cbor.dumps([*last, cbor.dumps(older)])
    for place in BOOT_RECORDS:
        Records(str(state)).write(place, record)
    bare_esp32.start()
    bare_esp32.attach()
    agent = make_agent(bare_esp32.port)
    body = agent.until(lambda: agent.of(frames.KIND_BOOT))[0][2]
    assert max(agent.frames)[:4] == (100).to_bytes(4, "big")
    assert body[frames.BOOT_PREVIOUS] == last
    assert body[frames.BOOT_EARLIER] == [[1, 84, MAX_U32, MAX_U32], *older[2:]]
    assert len(body[frames.BOOT_EARLIER]) == MAX_SAID - 1
    status = agent.until(lambda: agent.of(frames.KIND_STATUS))[0][2]
    print("heap free", status[frames.STATUS_HEAP_FREE], "low", status[frames.STATUS_HEAP_LOW])
    assert status[frames.STATUS_HEAP_LOW] > 12000
    bare_esp32.bench.pins["STOP"] = 1
    assert agent.during(bare_esp32.wait) == 0
    assert bare_esp32.log() == ""
    written = [cbor.loads(Records(str(state)).read(place) or b"") for place in BOOT_RECORDS]
    assert [record[4] for record in written if record[2]] == [cbor.dumps([])], "what has arrived is forgotten"
