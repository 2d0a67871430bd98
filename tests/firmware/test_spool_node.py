"""A whole node with a spool: what is of now goes before what is of the outage, and what a second takes."""

import os
import time
from pathlib import Path

import pytest

from boards.virtual.rig import VirtualNode
from firmware.spool_box import RECORD_HEAD
from protocol import frames
from protocol import session_events as ev
from protocol.seal import TAG_BYTES
from tools import build
from tools.boards import capacity

SPEED = 25.0
OUTAGE_S = 70.0
MEASURED_S = 100.0
# Of so short a time.
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def kit_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("virtual_kit")
    build.write(build.make("virtual_kit"), tree)
    return tree


def recording() -> Path | None:
    folder = Path(os.environ.get("VITALWIRE_DATA", "../shared/data")) / "mitdb"
    return folder / "119" if (folder / "119.dat").is_file() else None


def bytes_a_second(held: dict, plain: dict, until: int) -> float:
    """What the frames of the last MEASURED_S before number `until` take on flash, but for the oximeter's."""
    end_us = held[until][1]
    size = sum(
        len(plain[seq]) + TAG_BYTES + RECORD_HEAD
        for seq, (kind, t_us, body) in held.items()
        if end_us - MEASURED_S * 1e6 <= t_us < end_us and not (kind == frames.KIND_WAVE and body[1] in (1, 2))
    )
    return size / MEASURED_S


def wait_world(node: VirtualNode, seconds: float) -> None:
    end = node.world_s() + seconds
    while node.world_s() < end:
        time.sleep(0.05)


def test_now_goes_first_and_an_hour_takes_what_is_said(make_node, make_agent, kit_tree, tmp_path):
    record = recording()
    node = make_node(tree=kit_tree, speed=SPEED, **({"record": record} if record else {}))
    agent = make_agent(node.port)
    agent.until(lambda: agent.of(frames.KIND_VITALS))
    node.unplug()
    wait_world(node, OUTAGE_S / 2)
    node.patient.lead_off = True
    wait_world(node, 5)
    node.patient.lead_off = False
    wait_world(node, OUTAGE_S / 2)
    wait_world(node, MEASURED_S)
    (boot,) = agent.frames
    had = max(agent.frames[boot])
    agent.events.clear()
    node.replug()
    agent.until(lambda: any(isinstance(event, ev.HelloAccepted) for event in agent.events))
    # A link that would take a minute for what lies on flash.
    agent.session.flow(bytes_s=1500)
    hello = next(event for event in agent.events if isinstance(event, ev.HelloAccepted))
    (listed,) = [next_seq for boot_id, next_seq, _ in hello.boots if boot_id == boot]
    agent.until(lambda: max(agent.frames[boot]) > listed + 40)
    agent.whole(boot)
    came = [event for event in agent.events if isinstance(event, ev.FrameIn)]
    order = [event.seq for event in came]
    # The alarm of the outage came before the rest of it, as a past event.
    off = next(
        e for e in came if e.seq > had and e.frame and e.frame[0] == frames.KIND_EVENT and e.frame[2][1] == 1
    )
    assert off.past and order.index(off.seq) < 20
    # What was made after the link was back did not wait for what lay on flash.
    live = [n for n, seq in enumerate(order) if seq > listed + 10]
    backlog = [n for n, seq in enumerate(order) if seq < listed]
    assert live[0] < backlog[-1]
    if record is not None:
        a_second = bytes_a_second(agent.frames[boot], agent.plain[boot], listed - 1)
        print(f"{record}: {a_second:.0f} bytes a second")
        assert abs(a_second / capacity.BYTES_S - 1) < TOLERANCE


def test_the_figures_are_the_firmwares_and_the_documents():
    from firmware import spool_past, spool_put

    assert (capacity.BLOCK, capacity.RESERVE_BLOCKS) == (spool_put.BLOCK, spool_past.RESERVE_BLOCKS)
    assert capacity.UPDATE_BLOCKS == spool_past.UPDATE_BLOCKS
    assert capacity.capacity(4, True, False, 2048).hours < 3 < (2 << 20) / capacity.BYTES_S / 3600
    text = (Path(__file__).resolve().parents[2] / "docs" / "spool.md").read_text()
    assert capacity.table() in text, "docs/spool.md: run python -m tools.boards.capacity"
