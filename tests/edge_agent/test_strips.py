"""Strips on request: the frames of the asked channel and time are marked, named and handed over, once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from edge_agent.nodes.ingest import Worker
from edge_agent.remote.commands_kept import Task
from edge_agent.remote.strips import CHANNEL, FROM_MS, FROM_US, TO_US, Strips, runs
from edge_agent.store.items import Frame
from edge_agent.store.opening import open_store
from protocol import cbor, frames, remote, waveform
from tests.edge_agent.command_world import AGENT, BOOT, NEXT, NODE, UNIX_MS

SECOND_US = 1_000_000
PERSON, OTHER = b"person-in-bed-1!", b"who-had-it-first"


class Rig:
    """A store with a second of ECG and of pleth in each frame, and a clock that may be set."""

    def __init__(self, folder: Path) -> None:
        self.store, _ = open_store(folder / "agent.db", AGENT.id, UNIX_MS)
        self.worker = Worker()
        self.t_us: int | None = 0
        self.boot = BOOT
        self.now_ms = UNIX_MS
        self.told: list[Any] = []
        self.owner = lambda unix_ms: PERSON
        self.strips = Strips(
            self.store, self.worker, self, lambda: self.now_ms, lambda node, unix_ms: self.owner(unix_ms)
        )
        self.strips.served = lambda task, evidence, detail: self.told.append((evidence, detail))
        self.made = 0

    def live(self, node: bytes) -> tuple[bytes, int] | None:
        return None if self.t_us is None else (self.boot, self.t_us)

    def second(self, at_s: int) -> None:
        """What a node makes in a second: ECG, pleth, vitals."""
        for channel in (frames.CH_ECG, frames.CH_PPG_RED):
            self.frame(frames.KIND_WAVE, at_s, wave(channel))
        self.frame(frames.KIND_VITALS, at_s, {1: 720})

    def frame(self, kind: int, at_s: int, body: dict[int, Any]) -> None:
        plaintext = frames.pack(kind, at_s * SECOND_US, body)
        self.store.commit([Frame(NODE.id, BOOT, self.made, plaintext, UNIX_MS)])
        self.made += 1

    def task(self, seconds: int, ahead: bool = False, channel: int = frames.CH_ECG) -> Task:
        given = {remote.STRIP_CHANNEL: channel, remote.STRIP_SECONDS: seconds, remote.STRIP_NEXT: ahead}
        command = remote.Command(
            AGENT.id, NODE.id, b"strip-id", remote.STRIP, UNIX_MS, UNIX_MS + 60_000, bytes(8), given
        )
        answer = remote.Answer(AGENT.id, NODE.id, command.command_id, remote.SENT, 1, command.digest)
        task = Task(command, b"", answer, self.now_ms, BOOT, durable=True)
        assert self.t_us is not None
        task.body = self.strips.begin(task, self.t_us)
        return task

    def serve(self, task: Task) -> None:
        async def turn() -> None:
            late = self.now_ms > task.command.expires_ms
            self.strips.serve(task, late)
            self.strips.serve(task, late)
            while self.strips._running:
                await asyncio.sleep(0.01)

        asyncio.run(turn())

    def marked(self) -> list[int]:
        found = self.store.db.execute("SELECT seq FROM journal WHERE class = 1 ORDER BY seq").fetchall()
        return [seq for (seq,) in found]


def wave(channel: int) -> dict[int, Any]:
    body: dict[int, Any] = {
        frames.WAVE_CHANNEL: channel,
        frames.WAVE_COUNT: 100,
        frames.WAVE_PERIOD_NS: 10_000_000,
        frames.WAVE_LSB: 4000,
        frames.WAVE_CODEC: 2,
        frames.WAVE_DATA: waveform.encode(list(range(100)), 100),
    }
    return body


@pytest.fixture
def rig(tmp_path: Path):
    made = Rig(tmp_path)
    yield made
    made.worker.close()
    made.store.close()


def test_the_seconds_before_are_marked_named_and_handed_over_once(rig: Rig) -> None:
    for at_s in range(200):
        rig.second(at_s)
    rig.t_us = 200 * SECOND_US
    task = rig.task(5)
    assert task.body == {
        CHANNEL: 0,
        FROM_US: 195 * SECOND_US,
        TO_US: 200 * SECOND_US,
        FROM_MS: UNIX_MS - 5000,
    }
    rig.serve(task)
    assert rig.told == [], "what the node has in flight is waited for"
    rig.t_us += 4 * SECOND_US
    rig.serve(task)
    seqs = [3 * at_s for at_s in range(195, 200)]
    assert rig.told == [(((BOOT, seqs[0], seqs[-1] - seqs[0] + 1),), "5.0 of 5.0 s")]
    assert rig.marked() == seqs
    # Again, as the next agent would after a crash.
    rig.serve(task)
    rows = rig.store.db.execute("SELECT command, channel, from_us, to_us, frames FROM strips").fetchall()
    assert [row[:4] for row in rows] == [(b"strip-id", 0, 195 * SECOND_US, 200 * SECOND_US)]
    assert cbor.loads(rows[0][4]) == [[seq, 1] for seq in seqs]


def test_the_seconds_to_come_are_waited_for_and_what_is_missing_is_told(rig: Rig) -> None:
    rig.t_us = 10 * SECOND_US
    task = rig.task(4, ahead=True)
    for at_s in (8, 9, 10, 11, 13, 14):
        rig.second(at_s)
    rig.serve(task)
    assert rig.told == []
    rig.t_us = 18 * SECOND_US
    rig.serve(task)
    assert rig.told[0][1] == "3.0 of 4.0 s" and rig.marked() == [6, 9, 12]


@pytest.mark.parametrize("how", ["none", "another boot", "expired"])
def test_a_strip_ends_whatever_becomes_of_the_node(rig: Rig, how: str) -> None:
    rig.second(0)
    rig.t_us = SECOND_US
    task = rig.task(1, channel=frames.CH_CUFF if how == "none" else frames.CH_PPG_RED)
    if how == "none":
        rig.t_us += 5 * SECOND_US
    elif how == "another boot":
        rig.boot = NEXT
    else:
        rig.t_us, rig.now_ms = None, UNIX_MS + 60_001
    rig.serve(task)
    assert rig.told[0][1] == (
        "no waveform of that channel is stored for that time" if how == "none" else "1.0 of 1.0 s"
    )
    assert rig.marked() == ([] if how == "none" else [1])


def test_what_was_measured_of_somebody_else_is_left_out(rig: Rig) -> None:
    for at_s in range(20):
        rig.second(at_s)
    rig.t_us = 20 * SECOND_US
    # Two seconds ago the node became another person's.
    rig.owner = lambda unix_ms: PERSON if unix_ms >= UNIX_MS - 2000 else OTHER
    task = rig.task(5)
    rig.t_us += 4 * SECOND_US
    rig.serve(task)
    assert rig.told[0][1] == "2.0 of 5.0 s" and rig.marked() == [3 * 18, 3 * 19]


def test_a_frame_that_cannot_be_opened_costs_itself_only(rig: Rig) -> None:
    for at_s in range(20):
        rig.second(at_s)
    rig.t_us = 20 * SECOND_US
    task = rig.task(5)
    rig.t_us += 4 * SECOND_US
    with rig.store.transaction() as db:
        db.execute("UPDATE journal SET key = 99 WHERE seq = 48")
    rig.serve(task)
    assert rig.told[0][1] == "4.0 of 5.0 s" and rig.marked() == [45, 51, 54, 57]


def test_runs() -> None:
    assert runs([]) == [] and runs([1, 2, 3, 5, 7, 8]) == [[1, 3], [5, 1], [7, 2]]
