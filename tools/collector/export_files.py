"""Recordings as EDF+ (BDF+ where 16 bits do not hold the samples), WFDB and CSV.

Every sample stays the integer that the sensor gave, and the physical scale in the header is exactly its LSB.
Where nothing was measured stands a value that no sample has (EDF: the digital minimum; WFDB: its mark of no
sample; CSV: no line), and an annotation says from when to when.
"""

import csv
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from protocol import frames
from tools.collector import export_text as words
from tools.collector.export_grid import STEP_US, Grid, GridError, Placed, grid
from tools.collector.export_read import Recording
from tools.collector.export_signal import Signal
from tools.collector.export_wfdb import form_of, write_notes, write_signals

CHUNK_US = 60_000_000
MAX_NOTE_SIGNALS = 64
"""Annotations that an EDF+ data record has room for, as edflib writes them: one a signal."""

NAMES = {
    frames.CH_ECG: "ecg",
    frames.CH_PPG_RED: "ppg-red",
    frames.CH_PPG_IR: "ppg-infrared",
    frames.CH_CUFF: "cuff",
}
_SHORT = {
    frames.CH_ECG: "ECG I",
    frames.CH_PPG_RED: "PPG R",
    frames.CH_PPG_IR: "PPG IR",
    frames.CH_CUFF: "CUFF",
}


class ExportError(Exception):
    """A recording does not fit the format. The text says why, and what to do."""


class Made(NamedTuple):
    """A file, and the grid that its samples stand on; None: each has a time of its own."""

    path: Path
    grid: Grid | None


def edf(recording: Recording, path: Path, subject: str) -> Made:
    """Write `path` with .edf or .bdf; the file. A recording without waveforms has its annotations only."""
    import pyedflib

    of = _grid(recording, MAX_NOTE_SIGNALS)
    notes = list(_cut(words.notes(recording, of), words.EDF_BYTES, "utf-8"))
    # Texts that were split may need some more room.
    of = of._replace(blocks=max(of.blocks, ceil(len(notes) / MAX_NOTE_SIGNALS)))
    scales = [_scale(one) for one in recording.signals]
    wide = any(digital > 0x7FFF for digital, _, _ in scales)
    limit = 0x7FFFFF if wide else 0x7FFF
    if any(digital > limit for digital, _, _ in scales):
        raise ExportError("samples of more than 24 bits fit neither EDF+ nor BDF+: export as wfdb or csv")
    out = path.with_name(path.name + (".bdf" if wide else ".edf"))
    kind = pyedflib.FILETYPE_BDFPLUS if wide else pyedflib.FILETYPE_EDFPLUS
    writer = pyedflib.EdfWriter(str(out), len(of.signals), file_type=kind)
    try:
        writer.setStartdatetime(datetime.fromtimestamp(of.begin_us // 1_000_000, UTC).replace(tzinfo=None))
        writer.setPatientCode(subject)
        writer.setEquipment("vitalwire")
        if recording.sources:
            writer.setRecordingAdditional("_".join(recording.sources).replace(" ", "_"))
        writer.set_number_of_annotation_signals(max(1, ceil(len(notes) / of.blocks)))
        # The library takes it in whole steps, and cuts off what is less.
        block_s = (of.block_us + STEP_US / 4) / 1e6
        headers = [_header(one, *scale, block_s) for one, scale in zip(of.signals, scales, strict=True)]
        with warnings.catch_warnings():
            # It warns of rates that do not fit; these do (export_grid).
            warnings.simplefilter("ignore")
            writer.setDatarecordDuration(block_s)
            writer.setSignalHeaders(headers)
            _write_samples(writer, of, [-digital for digital, _, _ in scales])
        for onset_us, duration_us, text in notes:
            writer.writeAnnotation(onset_us / 1e6, duration_us / 1e6 if duration_us else -1, text)
    finally:
        writer.close()
    return Made(out, of)


def _header(placed: Placed, digital: int, physical: int, unit: str, block_s: float) -> dict[str, Any]:
    signal = placed.signal
    scale = f"LSB {signal.lsb} x 10^-3 {signal.unit}"
    return {
        "label": _label(signal),
        "dimension": unit,
        "sample_frequency": placed.each / block_s,
        "physical_max": physical,
        "physical_min": -physical,
        "digital_max": digital,
        "digital_min": -digital,
        "prefilter": "none",
        "transducer": f"{scale}; {signal.source}" if signal.source else scale,
    }


def _write_samples(writer: Any, of: Grid, fillers: list[int]) -> None:
    """A minute at a time: the whole would be in memory several times."""
    step = max(1, CHUNK_US // of.block_us)
    for block in range(0, of.blocks if of.signals else 0, step):
        end = min(block + step, of.blocks)
        data = [
            placed.part(block * placed.each, end * placed.each, filler)
            for placed, filler in zip(of.signals, fillers, strict=True)
        ]
        writer.writeSamples(data, digital=True)


def wfdb(recording: Recording, path: Path, subject: str) -> Made:
    """Write NAME.hea, NAME.dat and, of events and gaps, NAME.vw; the header. A recording without waveforms
    has no NAME.dat, and a header of no signals.
    """
    of = _grid(recording, 1 << 30)
    out = path.with_name(path.name + ".hea")
    if of.signals:
        forms = [_form(one) for one in recording.signals]
        write_signals(of, path, [_name(one) for one in recording.signals], forms, subject)
    else:
        # The library writes no record without signals; it reads one.
        begin = datetime.fromtimestamp(of.begin_us // 1_000_000, UTC)
        line = f"{path.name} 0 1000 {of.blocks * of.block_us // 1000} {begin:%H:%M:%S %d/%m/%Y}\n"
        out.write_text(f"{line}# subject: {subject}\n", encoding="ascii")
    notes = _cut(words.notes(recording, of), words.WFDB_BYTES, "latin-1", lasting=True)
    write_notes(notes, path.with_name(path.name + ".vw"))
    return Made(out, of)


def tables(recording: Recording, path: Path, subject: str) -> Made:
    """Write NAME-<channel>.csv for each channel, NAME-values.csv and NAME-events.csv; the last."""
    for signal in recording.signals:
        with path.with_name(f"{path.name}-{_name(signal)}.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            sheet = csv.writer(file)
            sheet.writerow(["unix_us", "sample", f"value_{signal.unit}", "flags"])
            for first, times in signal.times():
                said = signal.questioned(first, len(times))
                for n, (at_us, what) in enumerate(zip(times.tolist(), said, strict=True), first):
                    sample = signal.samples[n]
                    sheet.writerow([at_us, sample, words.exact(sample * signal.lsb, -3), what])
    with path.with_name(f"{path.name}-values.csv").open("w", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file)
        sheet.writerow(["unix_us", "quantity", "value", "ucum", "doubt", "source"])
        for one in recording.values:
            value = words.exact(one.value, one.exponent)
            sheet.writerow([one.unix_us, one.name, value, one.unit, one.doubt, one.source])
    out = path.with_name(f"{path.name}-events.csv")
    with out.open("w", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file)
        sheet.writerow(["unix_us", "event", "text", "source"])
        for event in recording.events:
            sheet.writerow([event.unix_us, event.what, words.cell(event.text), event.source])
    return Made(out, None)


def describe(recording: Recording, path: Path, subject: str, of: Grid | None) -> None:
    """Write NAME.json: what the formats have no place for, above all when each run of samples began, and how
    far the file's rate leads away from the times that were measured.
    """
    facts: dict[str, Any] = {
        "subject": subject,
        "node": recording.node.hex(),
        "boot": recording.boot.hex(),
        "input": recording.input,
        "time_bound_us": recording.bound_us,
        "blocks_of_unknown_codec_or_damaged": recording.undecoded,
        "signals": [
            {
                "channel": one.channel,
                "label": one.label,
                "period_ns": one.period_ns,
                "measured_period_ns": round(one.period_us * 1000, 3),
                "lsb": one.lsb,
                "lsb_unit": f"10^-3 {one.unit}",
                "source": one.source or None,
                "runs": [run._asdict() for run in one.runs],
                "questionable": [marked._asdict() for marked in one.marked],
            }
            for one in recording.signals
        ],
    }
    for fact, placed in zip(facts["signals"], of.signals if of else (), strict=False):
        fact["period_in_file_ns"] = round(placed.period_us * 1000, 3)
        fact["furthest_from_time_us"] = placed.worst_us
        fact["runs"] = [{"position": at, **run} for at, run in zip(placed.at, fact["runs"], strict=True)]
    text = json.dumps(facts, indent=1) + "\n"
    path.with_name(path.name + ".json").write_text(text, encoding="utf-8")


def _grid(recording: Recording, notes_a_block: int) -> Grid:
    begin_us, end_us = recording.span()
    try:
        return grid(recording.signals, begin_us, end_us, words.expected(recording), notes_a_block)
    except GridError as e:
        raise ExportError(str(e)) from e


def _cut(notes: list[words.Note], most: int, encoding: str, lasting: bool = False) -> Iterator[words.Note]:
    """In pieces that the format holds. `lasting`: it has no place for a duration, so the text says it."""
    for onset_us, duration_us, text in notes:
        said = f"{text} ({duration_us / 1e6:g} s)" if lasting and duration_us else text
        for piece in words.pieces(said, most, encoding):
            yield onset_us, duration_us, piece


def _name(signal: Signal) -> str:
    name = NAMES.get(signal.channel, f"channel{signal.channel}")
    return f"{name}-{signal.source.replace(' ', '-')}" if signal.source else name


def _label(signal: Signal) -> str:
    """For EDF's 16 characters, in which the source comes first."""
    if not signal.source:
        return signal.label[:16]
    return f"{signal.source.upper()} {_SHORT.get(signal.channel, f'CH {signal.channel}')}"[:16]


def _scale(signal: Signal) -> tuple[int, int, str]:
    """(digital maximum, physical maximum, unit) with exactly the LSB between two digital values, the physical
    one of at most seven digits: EDF's headers are that narrow.
    """
    most = _most(signal) + 1
    larger = {"uV": "mV", "nA": "uA", "kPa": "MPa"}[signal.unit]
    for unit, thousand in ((signal.unit, 1000), (larger, 1_000_000)):
        step = thousand // gcd(signal.lsb, thousand)
        digital = ceil(most / step) * step
        physical = digital * signal.lsb // thousand
        if physical < 10**7:
            # As much of 16 bits as there is: readers like a full range.
            if digital < 0x7FFF:
                steps = min(0x7FFF // step, (10**7 - 1) // (step * signal.lsb // thousand))
                digital, physical = steps * step, steps * step * signal.lsb // thousand
            return digital, physical, unit
    raise ExportError(f"{signal.label}: no unit shows LSB {signal.lsb} in seven digits: export as csv")


def _most(signal: Signal) -> int:
    samples = np.frombuffer(signal.samples, np.int32)
    return max(-int(samples.min()), int(samples.max()), 0)


def _form(signal: Signal) -> str:
    form = form_of(_most(signal))
    if form is None:
        raise ExportError("samples of more than 32 bits")
    return form


WRITERS: dict[str, Callable[[Recording, Path, str], Made]] = {"edf": edf, "wfdb": wfdb, "csv": tables}


def write_all(found: Iterator[Recording], form: str, out: Path, subject: str) -> Sequence[Path]:
    """Each recording in files of its own in the folder `out`, and what it is in NAME.json."""
    made: list[Path] = []
    n = 0
    for recording in found:
        if not (recording.signals or recording.events or recording.values):
            continue
        n += 1
        of_whom = "".join(f"-{one.replace(' ', '-')}" for one in recording.sources)
        path = out / f"{subject}-{n:04d}{of_whom}"
        written = WRITERS[form](recording, path, subject)
        describe(recording, path, subject, written.grid)
        made.append(written.path)
        # Else it would be in memory until the next one is there as a whole.
        del recording, written
    return made
