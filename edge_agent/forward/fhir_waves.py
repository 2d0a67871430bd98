"""Wave frames as observations: read where the store is, decoded and joined anywhere, cut at a minute each.

Decoding takes ten times as long as all else that is done with a frame, so it is kept apart from the store's
thread. No store, network or clock here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge_agent.forward import fhir_map as fhir
from edge_agent.forward.fhir_map import Entry, Scene
from edge_agent.waves import joins
from protocol import frames as f
from protocol import waveform
from protocol.errors import ProtocolError

MAX_STRIP_S = 60
_MAX_US = MAX_STRIP_S * 1_000_000
_PPG = (f.CH_PPG_RED, f.CH_PPG_IR)


class Wave(NamedTuple):
    """A wave frame, not decoded yet. `whole`: the frame says of no sample missing before it; `off`: the lead
    or the finger was off, nothing of a body was measured; `saturated`: some samples are at the range's end.
    """

    channel: int
    seq: int
    t_us: int
    period_ns: int
    lsb: int
    test: bool
    whole: bool
    off: bool
    saturated: bool
    samples: int
    data: bytes

    @property
    def end_us(self) -> int:
        """When it is over, on the node's clock."""
        return self.t_us + self.samples * self.period_ns // 1000


@dataclass
class _Run:
    """Frames of one channel that follow each other without a gap, all of them off or none."""

    first: Wave
    last: Wave
    samples: list[int] = field(default_factory=list[int])
    begins: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    saturated: bool = False

    def add(self, wave: Wave, samples: list[int]) -> None:
        """The next of them. `begins`: of each (samples before it, its time in us)."""
        self.begins.append((len(self.samples), wave.t_us))
        self.samples += samples
        self.saturated = self.saturated or wave.saturated
        self.last = wave

    def takes(self, wave: Wave) -> bool:
        """Whether it goes on with that frame."""
        one, last = self.first, self.last
        return (
            (one.period_ns, one.lsb, one.off) == (wave.period_ns, wave.lsb, wave.off)
            and wave.whole
            and joins(one.period_ns, last.samples, wave.t_us - last.t_us)
            and wave.end_us - one.t_us <= _MAX_US
        )

    @property
    def period_ns(self) -> int:
        """The true period: nominal where every frame begins within a sample of where that puts it, else the
        mean from the first to the last.
        """
        nominal = self.first.period_ns
        begun_us = self.first.t_us
        if all(abs((t_us - begun_us) * 1000 - n * nominal) <= nominal for n, t_us in self.begins):
            return nominal
        n, t_us = self.begins[-1]
        return (t_us - begun_us) * 1000 // n

    @property
    def doubt(self) -> str:
        """Why it is to be questioned; "": it is not."""
        off = "finger off" if self.first.channel in _PPG else "lead off"
        return ", ".join([off] * self.first.off + ["saturated in part"] * self.saturated)


def read(seq: int, plaintext: bytes) -> Wave | None:
    """The wave in a frame; None: it has none, or none that can be read."""
    if plaintext[1:2] != bytes((f.KIND_WAVE,)):
        return None
    try:
        _, t_us, body = f.unpack(plaintext)
    except ProtocolError:
        return None
    if body[f.WAVE_CODEC] != waveform.CODEC:
        return None
    flags = body.get(f.WAVE_FLAGS, 0)
    return Wave(
        body[f.WAVE_CHANNEL],
        seq,
        t_us,
        body[f.WAVE_PERIOD_NS],
        body[f.WAVE_LSB],
        bool(body.get(f.SOURCE)),
        not body.get(f.WAVE_MISSED) and not flags & f.WAVE_OVERFLOWED,
        bool(flags & f.WAVE_OFF),
        bool(flags & f.WAVE_SATURATED),
        body[f.WAVE_COUNT],
        body[f.WAVE_DATA],
    )


def observations(waves: Sequence[tuple[Scene, Wave]]) -> list[tuple[Scene, Entry]]:
    """What these waves, in the order of their numbers, are to a FHIR server: of each subject and channel one
    observation for what has no gap, `MAX_STRIP_S` at most; what was measured while a lead was off is another.
    """
    scenes: dict[Scene, list[Wave]] = {}
    for scene, wave in waves:
        scenes.setdefault(scene, []).append(wave)
    out: list[tuple[Scene, Entry]] = []
    for scene, own in scenes.items():
        for run in _runs(own):
            quantity = fhir.channel_quantity(run.first.channel)
            if quantity is not None and quantity.mdc:
                wave = fhir.Wave(run.period_ns, run.first.lsb, run.samples, run.doubt)
                seqs = run.first.seq, run.last.seq
                out.append((scene, scene.strip(quantity, seqs, run.first.t_us, wave)))
    return out


def _runs(waves: Sequence[Wave]) -> list[_Run]:
    """These waves, of one subject, joined where they join."""
    done: list[_Run] = []
    current: dict[int, _Run] = {}
    for wave in waves:
        try:
            samples = list(waveform.decode(wave.data, wave.samples))
        except ProtocolError:
            continue
        run = current.get(wave.channel)
        if run is None or not run.takes(wave):
            run = current[wave.channel] = _Run(wave, wave)
            done.append(run)
        run.add(wave, samples)
    return sorted(done, key=lambda run: run.first.seq)
