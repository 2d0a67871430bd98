"""Recordings in WFDB format: where they are found, and their ECG at any sampling instants.

A recording is played in a loop. It is resampled to the chip's own instants by band-limited interpolation (a
Kaiser-windowed sinc whose cutoff is 0.45 of the lower of the two rates), so any sampling rate will do and a
chip's crystal error needs no further step.
"""

import contextlib
import math
import os
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray

CACHE = "~/.cache/vitalwire"
CHUNK_S = 60
ZERO_CROSSINGS = 10
KAISER_BETA = 7.0
REASON_CHARS = 160
MICROVOLTS = {"uV": 1.0, "mV": 1000.0, "V": 1e6, "nV": 0.001}
PULSE_SIGNALS = ("PLETH", "PPG")
# PhysioBank annotation codes that mark a beat (WFDB Programmer's Guide, "Annotation codes")
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")


class RecordError(Exception):
    """A recording cannot be used. `name` as asked for; `tried`: where it was looked for; `why`: what to do
    about it.
    """

    def __init__(self, name: str, tried: list[str], why: str) -> None:
        super().__init__(f"recording {name}: {why}" + (f" (looked in: {', '.join(tried)})" if tried else ""))
        self.name = name
        self.tried = tried
        self.why = why


def data_dir() -> Path | None:
    """The folder of recordings: $VITALWIRE_DATA, else shared/data beside the project, if there is one."""
    given = os.environ.get("VITALWIRE_DATA")
    if given:
        return Path(given).expanduser()
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return beside if beside.is_dir() else None


def default_record() -> str | None:
    """A recording from the data folder's `mitdb` (sinus rhythm preferred), as a path; None without any."""
    folder = data_dir()
    if folder is None:
        return None
    found = sorted((folder / "mitdb").glob("*.hea"))
    preferred = [p for p in found if p.stem in ("100", "101", "103")]
    return str((preferred or found)[0].with_suffix("")) if found else None


def find_record(name: str) -> Path:
    """Where a recording lies, without extension: a path, a name under the data folder, or fetched from
    PhysioNet.

    What is fetched is kept under ~/.cache/vitalwire. Raises RecordError.
    """
    plain = name.removesuffix(".hea").removesuffix(".dat")
    places = [Path(plain).expanduser()]
    folder = data_dir()
    if folder is not None and not Path(plain).is_absolute():
        places.append(folder / plain)
    cache = Path(CACHE).expanduser()
    if not Path(plain).is_absolute():
        places.append(cache / plain)
    for place in places:
        if place.with_name(place.name + ".hea").is_file():
            return place
    tried = [str(p) for p in places]
    parts = plain.split("/")
    if len(parts) != 2 or not all(p and p[0] not in ".~" for p in parts):
        raise RecordError(
            name, tried, "no such file; give a path, or database/record of PhysioNet such as mitdb/100"
        )
    _fetch(name, parts[0], parts[1], cache / parts[0], tried)
    return cache / plain


def _fetch(name: str, database: str, record: str, folder: Path, tried: list[str]) -> None:
    wfdb = _wfdb(name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        header: Any = wfdb.rdheader(record, pn_dir=database)
        files = sorted(set(header.file_name or []))
        wfdb.dl_files(database, str(folder), files, keep_subdirs=False)
        try:
            wfdb.dl_files(database, str(folder), [record + ".atr"], keep_subdirs=False)
        except Exception:
            (folder / (record + ".atr")).unlink(missing_ok=True)  # no annotations: beats will be detected
        wfdb.dl_files(
            database, str(folder), [record + ".hea"], keep_subdirs=False
        )  # last: it marks the rest complete
    except Exception as e:  # wfdb lets through whatever its transport raises
        reason = f"{type(e).__name__}: {e}".split("\n")[0]
        reason = textwrap.shorten(reason, REASON_CHARS, placeholder=" …")
        raise RecordError(
            name,
            tried,
            f"not here, and fetching it from PhysioNet failed: {reason}. "
            f"Give the path of a recording instead, or set VITALWIRE_DATA to a folder that has {name}, "
            "or do without one: --model is a synthetic patient",
        ) from e


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """wfdb's use of deprecated pandas is its own affair, also where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _wfdb(name: str) -> Any:
    try:
        with _quiet():
            import wfdb
    except ImportError as e:
        raise RecordError(
            name, [], "reading recordings needs the package wfdb (pip install '.[demo]' in the source folder)"
        ) from e
    return wfdb


class RecordedSignal:
    """One signal of a recording at any instants. Times in seconds from its beginning, without end: it is
    played in a loop (before 0: silence). `scale` multiplies its physical values.
    """

    def __init__(self, path: str, index: int, fs_hz: float, length: int, scale: float) -> None:
        self._path = path
        self._index = index
        self._fs_hz = fs_hz
        self._length = length
        self._scale = scale
        self._chunk = np.zeros(0)
        self._chunk_at = 0

    def at(self, t: Array, out_hz: float) -> Array:
        """Values at times `t` (ascending, evenly spaced at `out_hz`), band-limited to both rates."""
        cutoff = 0.45 * min(1.0, out_hz / self._fs_hz)  # cycles per input sample
        half = math.ceil(ZERO_CROSSINGS / (2 * cutoff))
        position = t * self._fs_hz
        first = np.floor(position).astype(np.int64) - half + 1
        low = int(first[0])
        samples = self.samples(low, int(first[-1]) + 2 * half)
        offsets = np.arange(2 * half)
        distance = position[:, None] - (first[:, None] + offsets)
        window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0.0, 1 - (distance / half) ** 2)))
        weights = np.sinc(2 * cutoff * distance) * window
        weights /= weights.sum(axis=1, keepdims=True)
        return (weights * samples[(first - low)[:, None] + offsets]).sum(axis=1)

    def samples(self, start: int, end: int) -> Array:
        """The recording's own samples start..end of the loop."""
        out = np.zeros(end - start)
        at = max(start, 0)
        while at < end:
            place = at % self._length
            if not self._chunk_at <= place < self._chunk_at + len(self._chunk):
                self._load(place)
            offset = place - self._chunk_at
            n = min(end - at, len(self._chunk) - offset)
            out[at - start : at - start + n] = self._chunk[offset : offset + n]
            at += n
        return out

    def check(self) -> None:
        """RecordError when the first or the last sample cannot be read, as of a file that was cut off."""
        self.samples(self._length - 1, self._length)
        self.samples(0, 1)

    def _load(self, place: int) -> None:
        size = int(CHUNK_S * self._fs_hz)
        start = max(0, place - size // 4)
        end = min(self._length, start + size)
        try:
            record: Any = _wfdb(self._path).rdrecord(
                self._path, sampfrom=start, sampto=end, channels=[self._index]
            )
            signal = np.asarray(record.p_signal)[:, 0]
        except (OSError, ValueError, TypeError, IndexError) as e:
            raise RecordError(
                self._path, [], f"its samples {start} to {end} cannot be read; is the file whole? ({e})"
            ) from e
        self._chunk = np.nan_to_num(signal) * self._scale
        self._chunk_at = start


class RecordedHeart:
    """One lead of a recording, its beats, and its pulse wave if it has one. Times in seconds from its
    beginning, without end (it is played in a loop).

    `lead`: number of the signal; by default the first that is a voltage. `beats_from`: annotations (.atr), or
    the detector where there are none. `has_pulse`: there is a plethysmogram.
    """

    def __init__(self, path: Path, lead: int | None = None) -> None:
        self._path = str(path)
        try:
            header: Any = _wfdb(self._path).rdheader(self._path)
            self.fs_hz = float(header.fs)
            length = int(header.sig_len)
            names: list[str] = list(header.sig_name or [])
            units: list[str] = list(header.units or [])
        except (OSError, ValueError, TypeError) as e:
            raise RecordError(self._path, [], f"the header cannot be read: {e}") from e
        if not names or not length:
            raise RecordError(self._path, [], "it has no signals")
        pulse = next((i for i, name in enumerate(names) if name.upper() in PULSE_SIGNALS), None)
        if lead is None:
            lead = next((i for i, unit in enumerate(units) if unit in MICROVOLTS and i != pulse), 0)
        if not 0 <= lead < len(names):
            raise RecordError(self._path, [], f"it has {len(names)} signals; there is no number {lead}")
        self.name = f"{path.parent.name}/{path.name} {names[lead]}"
        self.duration_s = length / self.fs_hz
        self._ecg = RecordedSignal(self._path, lead, self.fs_hz, length, MICROVOLTS.get(units[lead], 1000.0))
        self._pulse = None if pulse is None else RecordedSignal(self._path, pulse, self.fs_hz, length, 1.0)
        self._pulse_range: tuple[float, float] | None = None
        for signal in (self._ecg, self._pulse):
            if signal is not None:
                signal.check()  # here, where somebody can be told; later it is a thread that reads
        self._beats = self._annotated()
        self.beats_from = "annotations"
        if self._beats is None:
            self._beats = detect_beats(self._ecg.samples(0, length), self.fs_hz)
            self.beats_from = "detector"

    @property
    def has_pulse(self) -> bool:
        """Whether the recording has a pulse wave of its own."""
        return self._pulse is not None

    def beats(self, start_s: float, end_s: float) -> list[float]:
        """Times of the beats in [start_s, end_s), of the loop."""
        beats = self._beats
        out: list[float] = []
        if beats is None or not len(beats):
            return out
        first, last = math.floor(start_s / self.duration_s), math.floor(end_s / self.duration_s)
        for turn in range(max(0, first), last + 1):
            shift = turn * self.duration_s
            low, high = np.searchsorted(beats, (start_s - shift, end_s - shift))
            out.extend(float(b) + shift for b in beats[low:high])
        return out

    def ecg_uv(self, t: Array, out_hz: float) -> Array:
        """The ECG at times `t` (ascending, evenly spaced at `out_hz`), in microvolts."""
        return self._ecg.at(t, out_hz)

    def pulse(self, t: Array, out_hz: float) -> Array:
        """The recording's own pulse wave at times `t`, about 0 to 1 (2nd and 98th percentile of its first
        minute).
        """
        assert self._pulse is not None
        if self._pulse_range is None:
            minute = self._pulse.samples(0, int(60 * self.fs_hz))
            low, high = (float(v) for v in np.percentile(minute, (2, 98)))
            self._pulse_range = low, max(high - low, 1e-9)
        low, span = self._pulse_range
        return np.clip((self._pulse.at(t, out_hz) - low) / span, -0.5, 2.0)

    def _annotated(self) -> "Array | None":
        if not Path(self._path + ".atr").is_file():
            return None
        try:
            with _quiet():
                notes: Any = _wfdb(self._path).rdann(self._path, "atr")
        except Exception as e:  # a truncated annotation file raises whatever numpy or the parser meets first
            raise RecordError(self._path, [], f"its annotations (.atr) cannot be read: {e}") from e
        at = [s for s, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol in BEATS]
        return np.array(at, dtype=float) / self.fs_hz


def detect_beats(ecg: Array, fs_hz: float) -> Array:
    """R-peak times in seconds, by energy of the slope in 120 ms windows against a running level: for
    recordings without annotations.
    """
    width = max(1, int(0.12 * fs_hz))
    smooth = np.convolve(ecg, np.ones(max(1, int(fs_hz / 60))) / max(1, int(fs_hz / 60)), "same")
    energy = np.convolve(np.diff(smooth, prepend=smooth[0]) ** 2, np.ones(width) / width, "same")
    step = int(2 * fs_hz)
    peaks = np.array([energy[i : i + step].max() for i in range(0, len(energy), step)])
    level = np.array([np.median(peaks[max(0, i - 3) : i + 4]) for i in range(len(peaks))])
    threshold = 0.25 * np.repeat(level, step)[: len(energy)]
    above = energy > threshold
    starts = np.flatnonzero(above[1:] & ~above[:-1]) + 1
    beats: list[float] = []
    for start in starts:
        end = min(len(ecg), start + 2 * width)
        top = int(start + np.argmax(np.abs(smooth[start:end] - np.median(smooth[start:end]))))
        if not beats or top / fs_hz - beats[-1] > 0.25:
            beats.append(top / fs_hz)
    return np.array(beats)
