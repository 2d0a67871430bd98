"""Recordings are written in pieces: the same bytes as whole, in little more memory than the samples take."""

import random
import tracemalloc
from array import array
from datetime import UTC, datetime

import numpy as np
import pytest

from protocol import frames
from tools.collector import export_files, export_signal, export_wfdb
from tools.collector.export_read import Event, Recording, Value
from tools.collector.export_signal import Signal
from tools.collector.export_text import WFDB_BYTES

BEGIN_US = 1_763_769_600_000_000
ECG, RED, INFRARED = (
    (frames.CH_ECG, 4_000_000, 1526),
    (frames.CH_PPG_RED, 10_000_000, 62),
    (2, 10_000_000, 62),
)


def signal(which: tuple[int, int, int], bits: int, seconds: int, drift_ppm: int = 0, missing=()) -> Signal:
    """A block a second, numbers of so many bits; `missing`: seconds without one."""
    channel, period_ns, lsb = which
    dice, made = random.Random(channel), Signal(channel, period_ns, lsb, "")
    each = 10**9 // period_ns
    for n in range(seconds):
        if n in missing:
            continue
        t_us = n * (1_000_000 + drift_ppm)
        block = array("i", [dice.randrange(-(1 << bits - 1) + 1, 1 << bits - 1) for _ in range(each)])
        what = "lead off" if n % 7 == 3 else ""
        assert made.add(t_us, BEGIN_US + t_us, 1000, n, block, n - 1 not in missing, what)
    return made


def recording(seconds: int = 40, **more) -> Recording:
    made = Recording(b"node-one", b"boot-of-one1", 1000)
    made.signals = [
        signal(ECG, 16, seconds, missing=range(5, 9), **more),
        signal(RED, 18, seconds, **more),
        signal(INFRARED, 24, seconds, **more),
    ]
    made.events = [Event(BEGIN_US + 12_500_000, "mark", "dizzy – 2 °" + "x" * 300, "")]
    made.values = [Value(BEGIN_US + n * 700_000, "pulse", 720 + n, -1, "/min", "", "") for n in range(50)]
    made.values.append(Value(BEGIN_US + 8 * 3600 * 1_000_000, "pulse", 1, -1, "/min", "", ""))
    return made


def by_the_library(made: Recording, path) -> None:
    """What the library writes of it when it is given all at once."""
    import wfdb

    of = export_files._grid(made, 1 << 30)
    forms = [export_files._form(one) for one in made.signals]
    wfdb.wrsamp(
        path.name,
        fs=1e6 / of.block_us,
        units=[one.unit for one in made.signals],
        sig_name=[export_files._name(one) for one in made.signals],
        e_d_signal=[
            one.part(0, of.blocks * one.each, export_wfdb.no_sample(form))
            for one, form in zip(of.signals, forms, strict=True)
        ],
        samps_per_frame=[one.each for one in of.signals],
        fmt=forms,
        adc_gain=[1000 / one.lsb for one in made.signals],
        baseline=[0] * len(forms),
        base_datetime=datetime.fromtimestamp(of.begin_us // 1_000_000, UTC).replace(tzinfo=None),
        comments=["subject: ada"]
        + [f"{one.label}: LSB {one.lsb} x 10^-3 {one.unit}" for one in made.signals],
        write_dir=str(path.parent),
    )
    notes = list(export_files._cut(export_files.words.notes(made, of), WFDB_BYTES, "latin-1", lasting=True))
    wfdb.wrann(
        path.name,
        "vw",
        np.array([max(1, onset_us // 1000) for onset_us, _, _ in notes]),
        symbol=['"'] * len(notes),
        aux_note=[text for _, _, text in notes],
        fs=1000,
        write_dir=str(path.parent),
    )


@pytest.mark.parametrize("drift_ppm", [0, 1500])
@pytest.mark.parametrize("piece", [2000, 1 << 20])
def test_wfdb_is_byte_for_byte_what_the_library_writes(tmp_path, monkeypatch, drift_ppm, piece) -> None:
    monkeypatch.setattr(export_wfdb, "CHUNK_SAMPLES", piece)
    made = recording(drift_ppm=drift_ppm)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    export_files.wfdb(made, ours / "rec", "ada")
    by_the_library(made, theirs / "rec")
    names = sorted(one.name for one in theirs.iterdir())
    assert names == sorted(one.name for one in ours.iterdir())
    assert names == ["rec.hea", "rec.vw", "rec_1.dat", "rec_2.dat"]
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_samples_of_32_bits(tmp_path) -> None:
    made = recording(3)
    made.signals = [signal(ECG, 32, 3)]
    (tmp_path / "theirs").mkdir()
    export_files.wfdb(made, tmp_path / "rec", "ada")
    by_the_library(made, tmp_path / "theirs" / "rec")
    for name in ("rec.hea", "rec.dat"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


@pytest.mark.parametrize("drift_ppm", [0, 1500, -1500])
def test_times_in_pieces_are_those_of_the_whole(monkeypatch, drift_ppm) -> None:
    made = signal(ECG, 16, 30, drift_ppm, missing=range(5, 9))
    whole = {first + n: at for first, times in made.times() for n, at in enumerate(times)}
    for piece in (1, 249, 250, 251, 1000):
        monkeypatch.setattr(export_signal, "PIECE", piece)
        found = [(first + n, at) for first, times in made.times() for n, at in enumerate(times)]
        assert [n for n, _ in found] == list(range(len(made.samples)))
        assert dict(found) == whole


def test_samples_in_pieces_are_questioned_as_the_whole() -> None:
    made = signal(ECG, 16, 30, missing=range(5, 9))
    whole = made.questioned(0, len(made.samples))
    assert whole.count("lead off") == sum(one.count for one in made.marked) > 0
    pieces = [made.questioned(n, min(333, len(whole) - n)) for n in range(0, len(whole), 333)]
    assert [one for piece in pieces for one in piece] == whole


@pytest.mark.parametrize("form", ["wfdb", "csv"])
def test_memory_is_that_of_a_piece(tmp_path, monkeypatch, form) -> None:
    monkeypatch.setattr(export_wfdb, "CHUNK_SAMPLES", 1 << 12)
    monkeypatch.setattr(export_signal, "PIECE", 1 << 12)
    made = Recording(b"node-one", b"boot-of-one1", 1000)
    made.signals = [signal(ECG, 16, 400)]
    samples = len(made.signals[0].samples)
    write = export_files.WRITERS[form]
    # The first run loads what is loaded once.
    write(recording(3), tmp_path / "first", "ada")
    tracemalloc.start()
    write(made, tmp_path / "rec", "ada")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * samples, (peak, samples)
