"""A node's seconds and alarms in a store, in any order, and the strips that are made around them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_agent.nodes.ingest import Worker
from edge_agent.remote.alarm_strips import AlarmStrips
from edge_agent.store.items import Frame, Item
from edge_agent.store.opening import open_store
from protocol import cbor, frames, waveform
from tests.edge_agent.store_kit import AGENT, BOOT, NODE

SECOND = 1_000_000
UNIX_MS = 1_790_000_000_000
ECG, RED = frames.CH_ECG, frames.CH_PPG_RED
Numbered = tuple[int, bytes]


def wave(channel: int, **more: Any) -> dict[int, Any]:
    """A second of a ramp."""
    body: dict[int, Any] = {
        frames.WAVE_CHANNEL: channel,
        frames.WAVE_COUNT: 100,
        frames.WAVE_PERIOD_NS: 10_000_000,
        frames.WAVE_LSB: 3050,
        frames.WAVE_CODEC: 2,
        frames.WAVE_DATA: waveform.encode(list(range(100)), 100),
    }
    return body | {int(key[1:]): value for key, value in more.items()}


def alarm(number: int, priority: int = 2, state: int = frames.STATE_BEGAN) -> dict[int, Any]:
    """An event of a high heart rate."""
    return {
        frames.EVENT_CODE: frames.EVENT_HR_HIGH,
        frames.EVENT_PRIORITY: priority,
        frames.EVENT_STATE: state,
        frames.EVENT_ALARM: number,
        frames.EVENT_VALUE: 1510,
        frames.EVENT_LIMIT: 1500,
    }


def second(at_s: int, events: Iterable[dict[int, Any]] = ()) -> list[bytes]:
    """What a node makes at the end of a second: ECG and red of it, vitals, events."""
    return [
        *(frames.pack(frames.KIND_WAVE, at_s * SECOND, wave(channel)) for channel in (ECG, RED)),
        frames.pack(frames.KIND_VITALS, (at_s + 1) * SECOND, {1: 720}),
        *(frames.pack(frames.KIND_EVENT, (at_s + 1) * SECOND, body) for body in events),
    ]


def day(seconds: int, alarms: dict[int, list[dict[int, Any]]]) -> list[Numbered]:
    """The frames of so many seconds, with what is told at the end of which second."""
    made: list[bytes] = []
    for at_s in range(seconds):
        made += second(at_s, alarms.get(at_s + 1, ()))
    return list(enumerate(made))


class World:
    """A store, and what makes strips of it. `now_s`: of the monotonic clock."""

    def __init__(self, folder: Path, before_s: int = 20, after_s: int = 20, agent: bytes = AGENT) -> None:
        self.path = folder / "agent.db"
        self.agent = agent
        self.span = before_s, after_s
        self.now_s, self.now_ms = 0.0, UNIX_MS
        self.items: list[Item] = []
        self.open()

    def open(self) -> None:
        self.store, _ = open_store(self.path, self.agent, UNIX_MS)
        self.worker = Worker()
        self.strips = AlarmStrips(
            self.store,
            self.worker,
            lambda: self.now_ms,
            *self.span,
            monotonic=lambda: self.now_s,
        )

    def close(self) -> None:
        self.worker.close()
        self.store.close()

    def restart(self) -> None:
        self.close()
        self.open()

    def comes(self, made: Iterable[Numbered], boot: bytes = BOOT, node: bytes = NODE) -> None:
        """These frames come, in this order."""
        for seq, plaintext in made:
            kind, t_us, body = frames.unpack(plaintext)
            along = self.strips.heard(node, boot, seq, t_us, body) if kind == frames.KIND_EVENT else ()
            self.items.append(Frame(node, boot, seq, plaintext, self.now_ms, along=along))
            if len(self.items) > 50:
                self.commit()
        self.commit()

    def commit(self) -> None:
        """What has come is on the disk."""
        self.store.commit(self.items)
        self.items.clear()

    def passes(self, seconds: float, steps: int = 40) -> None:
        """So long passes, and whatever is due is done."""
        for _ in range(steps):
            self.now_s += seconds / steps
            self.now_ms += int(seconds * 1000 / steps)
            self.strips.turn()

    @property
    def rows(self) -> list[tuple[int, list[int]]]:
        """The strips: channel and numbers of each."""
        found = self.store.db.execute("SELECT channel, frames FROM strips ORDER BY id").fetchall()
        return [
            (channel, [seq for first, n in cbor.loads(runs) for seq in range(first, first + n)])
            for channel, runs in found
        ]

    def kept(self) -> list[int]:
        """Numbers that are evidence, each of which is in one strip."""
        found = self.store.db.execute("SELECT seq FROM journal WHERE class = 1 ORDER BY seq").fetchall()
        named = sorted(seq for _, seqs in self.rows for seq in seqs)
        assert named == [seq for (seq,) in found]
        return named

    @property
    def waiting(self) -> int:
        return self.store.db.value("SELECT count(*) FROM alarm_windows WHERE done = 0")


def within(made: Iterable[Numbered], from_s: float, to_s: float) -> list[int]:
    """Numbers of the waves that have something of that time."""
    out: list[int] = []
    for seq, plaintext in made:
        kind, t_us, _ = frames.unpack(plaintext)
        if kind == frames.KIND_WAVE and t_us < to_s * SECOND and t_us + SECOND > from_s * SECOND:
            out.append(seq)
    return out
