"""The heart rate that arrives agrees with the annotations of the recording that the chip was given."""

import os
from pathlib import Path
from typing import Any

import pytest
import wfdb

from boards.virtual.rig import VirtualNode
from hil_tests.duts import NodeDut, one_identity
from protocol import frames, session_events
from protocol.identity import node_id
from protocol.session_agent import AgentSession

SETTLING_S = 20
WINDOW_S = 60
BEATS = set("NLRBAaJSVrFejnE/fQ?")


def annotated_rate(record: Path, begin_s: float, end_s: float) -> float:
    """Beats per minute over the window, from the interval between the first and the last beat in it."""
    annotation: Any = wfdb.rdann(str(record), "atr")
    times = [
        sample / annotation.fs
        for sample, symbol in zip(annotation.sample, annotation.symbol, strict=True)
        if symbol in BEATS and begin_s <= sample / annotation.fs < end_s
    ]
    return 60 * (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize("embedded_services", ["serial"], indirect=True)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("101", marks=pytest.mark.patient(record="101", speed=8)),
        pytest.param("119", marks=pytest.mark.patient(record="119", speed=8)),
        pytest.param("209", marks=pytest.mark.patient(record="209", speed=8)),
    ],
)
def test_heart_rate_agrees_with_the_annotations(
    dut: NodeDut, board: VirtualNode, recording: Path, name: str
) -> None:
    me = one_identity(os.urandom(64))
    known: dict[bytes, tuple[bytes, bytes]] = {}
    session = AgentSession(me, known.get, lambda _: None, os.urandom)
    rates: dict[int, float] = {}
    begin_us, end_us = SETTLING_S * 1_000_000, (SETTLING_S + WINDOW_S) * 1_000_000
    world_us = None
    session.request_pairing(os.urandom(16))
    for event in dut.converse(session, 240):
        if isinstance(event, session_events.PairReply):
            known[node_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
            session.solicit()
        elif isinstance(event, session_events.FrameIn):
            kind, t_us, body = frames.unpack(event.plaintext)
            if kind != frames.KIND_VITALS:
                continue
            if begin_us <= t_us < end_us and frames.VITALS_HR in body:
                assert body[frames.SOURCE] == frames.SRC_REPLAY
                rates[t_us] = body[frames.VITALS_HR] / 10
            # Where in the recording that was, whenever it arrived.
            world_us = board.bench.clock.to_world_us(begin_us)
            if t_us >= end_us:
                break
    assert len(rates) >= 0.9 * WINDOW_S, f"only {len(rates)} readings in {WINDOW_S} s"
    assert world_us is not None
    measured = sum(rates.values()) / len(rates)
    begin = world_us / 1e6
    truth = annotated_rate(recording / name, begin, begin + WINDOW_S)
    assert abs(measured - truth) <= 2, f"{name}: measured {measured:.1f}, annotated {truth:.1f} /min"
