"""Recordings as EDF+ (BDF+ where 16 bits do not hold the samples), WFDB and CSV.

Every sample stays the integer that the sensor gave, and the physical scale in the header is exactly its LSB.
Where nothing was measured stands a value that no sample has (EDF: the digital minimum; WFDB: its mark of no
sample; CSV: no line), and an annotation says from when to when.
"""

import csv
import json
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np

from tools.collector.export_read import Recording, Signal

MAX_BLOCK_S = 60
"""Of an EDF data record, a WFDB frame: as many seconds as make a whole number of samples of each channel."""

NAMES = {0: "ecg", 1: "ppg-red", 2: "ppg-infrared", 3: "cuff"}


class ExportError(Exception):
    """A recording does not fit the format. The text says why, and what to do."""


def edf(recording: Recording, path: Path, subject: str) -> Path:
    """Write `path` with .edf or .bdf; the file. A recording without waveforms has its annotations only."""
    import pyedflib

    begin_us, block_s, blocks = _grid(recording)
    grids = [_on_grid(one, begin_us, block_s, blocks) for one in recording.signals]
    scales = [_scale(one) for one in recording.signals]
    wide = any(digital > 0x7FFF for digital, _, _ in scales)
    limit = 0x7FFFFF if wide else 0x7FFF
    if any(digital > limit for digital, _, _ in scales):
        raise ExportError("samples of more than 24 bits fit neither EDF+ nor BDF+: export as wfdb or csv")
    out = path.with_suffix(".bdf" if wide else ".edf")
    kind = pyedflib.FILETYPE_BDFPLUS if wide else pyedflib.FILETYPE_EDFPLUS
    notes = _notes(recording, begin_us)
    writer = pyedflib.EdfWriter(str(out), len(grids), file_type=kind)
    try:
        writer.setStartdatetime(datetime.fromtimestamp(begin_us // 1_000_000, UTC).replace(tzinfo=None))
        writer.setPatientCode(subject)
        writer.setEquipment("vitalwire")
        if block_s != 1:
            with warnings.catch_warnings():
                # It warns of rates that do not fit; these do (_grid).
                warnings.simplefilter("ignore")
                writer.setDatarecordDuration(block_s)
        writer.set_number_of_annotation_signals(min(64, max(1, ceil(len(notes) / max(1, blocks)))))
        for n, (signal, (digital, physical, unit)) in enumerate(zip(recording.signals, scales, strict=True)):
            header = {
                "label": signal.label[:16],
                "dimension": unit,
                "sample_frequency": _in_block(signal, block_s) / block_s,
                "physical_max": physical,
                "physical_min": -physical,
                "digital_max": digital,
                "digital_min": -digital,
                "prefilter": "none",
                "transducer": f"LSB {signal.lsb} x 10^-3 {signal.unit}",
            }
            writer.setSignalHeader(n, header)
        if grids:
            fillers = [-digital for digital, _, _ in scales]
            data = [
                np.where(mask, samples, filler).astype(np.int32)
                for (samples, mask), filler in zip(grids, fillers, strict=True)
            ]
            writer.writeSamples(data, digital=True)
        for onset_us, duration_us, text in notes:
            writer.writeAnnotation(onset_us / 1e6, duration_us / 1e6 if duration_us else -1, text)
    finally:
        writer.close()
    return out


def wfdb(recording: Recording, path: Path, subject: str) -> Path:
    """Write NAME.hea, NAME.dat and, of events and gaps, NAME.vw; the header."""
    import wfdb as library

    if not recording.signals:
        raise ExportError("a WFDB record has signals: there are none in this time; export as csv")
    begin_us, block_s, blocks = _grid(recording)
    arrays, formats = [], []
    for signal in recording.signals:
        samples, mask = _on_grid(signal, begin_us, block_s, blocks)
        bits, mark = _wfdb_format(samples)
        arrays.append(np.where(mask, samples, mark).astype(np.int64))
        formats.append(bits)
    library.wrsamp(
        path.name,
        fs=1 / block_s,
        units=[one.unit for one in recording.signals],
        sig_name=[NAMES.get(one.channel, f"channel{one.channel}") for one in recording.signals],
        e_d_signal=arrays,
        samps_per_frame=[len(one) // blocks for one in arrays],
        fmt=formats,
        adc_gain=[1000 / one.lsb for one in recording.signals],
        baseline=[0] * len(arrays),
        base_datetime=datetime.fromtimestamp(begin_us // 1_000_000, UTC).replace(tzinfo=None),
        comments=[
            f"subject: {subject}",
            *(f"{one.label}: LSB {one.lsb} x 10^-3 {one.unit}" for one in recording.signals),
        ],
        write_dir=str(path.parent),
    )
    notes = _notes(recording, begin_us)
    if notes:
        library.wrann(
            path.name,
            "vw",
            np.array([onset_us // 1000 for onset_us, _, _ in notes]),
            symbol=['"'] * len(notes),
            aux_note=[
                f"{text} ({duration_us / 1e6:g} s)" if duration_us else text for _, duration_us, text in notes
            ],
            fs=1000,
            write_dir=str(path.parent),
        )
    return path.with_suffix(".hea")


def tables(recording: Recording, path: Path, subject: str) -> Path:
    """Write NAME-<channel>.csv for each channel, NAME-values.csv and NAME-events.csv; the last."""
    for signal in recording.signals:
        name = NAMES.get(signal.channel, f"channel{signal.channel}")
        with path.with_name(f"{path.name}-{name}.csv").open("w", newline="", encoding="utf-8") as file:
            sheet = csv.writer(file)
            sheet.writerow(["unix_us", "sample", f"value_{signal.unit}"])
            for run in signal.runs:
                for n in range(run.count):
                    sample = signal.samples[run.index + n]
                    at_us = run.unix_us + n * signal.period_ns // 1000
                    sheet.writerow([at_us, sample, _exact(sample * signal.lsb, -3)])
    with path.with_name(f"{path.name}-values.csv").open("w", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file)
        sheet.writerow(["unix_us", "quantity", "value", "ucum"])
        for one in recording.values:
            sheet.writerow([one.unix_us, one.name, _exact(one.value, one.exponent), one.unit])
    out = path.with_name(f"{path.name}-events.csv")
    with out.open("w", newline="", encoding="utf-8") as file:
        sheet = csv.writer(file)
        sheet.writerow(["unix_us", "event", "text"])
        for event in recording.events:
            # A cell that begins so is a formula to a spreadsheet.
            text = "'" + event.text if event.text[:1] in ("=", "+", "-", "@") else event.text
            sheet.writerow([event.unix_us, event.what, text])
    return out


def describe(recording: Recording, path: Path, subject: str) -> None:
    """Write NAME.json: what the formats have no place for, above all when each run of samples began."""
    facts: dict[str, Any] = {
        "subject": subject,
        "node": recording.node.hex(),
        "boot": recording.boot.hex(),
        "time_bound_us": recording.bound_us,
        "blocks_of_unknown_codec_or_damaged": recording.undecoded,
        "signals": [
            {
                "channel": one.channel,
                "label": one.label,
                "period_ns": one.period_ns,
                "lsb": one.lsb,
                "lsb_unit": f"10^-3 {one.unit}",
                "source": one.source,
                "runs": [run._asdict() for run in one.runs],
            }
            for one in recording.signals
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


# ---- the grid that all channels of a file share


def _grid(recording: Recording) -> tuple[int, int, int]:
    """(beginning on a whole second in Unix us, seconds of a block, number of blocks)."""
    begin_us, end_us = recording.span()
    begin_us -= begin_us % 1_000_000
    for block_s in range(1, MAX_BLOCK_S + 1):
        if all(_fits(one, block_s) for one in recording.signals):
            break
    else:
        rates = ", ".join(f"{one.label}: {one.period_ns} ns" for one in recording.signals)
        raise ExportError(
            f"no {MAX_BLOCK_S} s or less hold a whole number of samples ({rates}): export as csv"
        )
    # A signal that was measured faster than its nominal period reaches beyond the end by the clock.
    blocks = [
        ceil((_offset(one, begin_us) + len(one.samples)) / _in_block(one, block_s))
        for one in recording.signals
    ]
    return begin_us, block_s, max([1, ceil((end_us - begin_us) / (block_s * 1e6)), *blocks])


def _in_block(signal: Signal, block_s: int) -> int:
    return round(block_s * 10**9 / signal.period_ns)


def _fits(signal: Signal, block_s: int) -> bool:
    """Whether a block holds a whole number of samples, as nearly as a period in whole ns can say."""
    return abs(_in_block(signal, block_s) * signal.period_ns - block_s * 10**9) <= _in_block(signal, block_s)


def _offset(signal: Signal, begin_us: int) -> int:
    return round((signal.begin_us - begin_us) * 1000 / signal.period_ns)


def _on_grid(signal: Signal, begin_us: int, block_s: int, blocks: int) -> "tuple[np.ndarray, np.ndarray]":
    """(samples, whether each was measured) from the file's beginning to its end."""
    size = blocks * _in_block(signal, block_s)
    samples, mask = np.zeros(size, np.int64), np.zeros(size, bool)
    offset = _offset(signal, begin_us)
    for run in signal.runs:
        at = offset + run.index
        samples[at : at + run.count] = signal.samples[run.index : run.index + run.count]
        mask[at : at + run.count] = True
    return samples, mask


def _scale(signal: Signal) -> tuple[int, int, str]:
    """(digital maximum, physical maximum, unit) with exactly the LSB between two digital values, the physical
    one of at most seven digits: EDF's headers are that narrow.
    """
    most = max((abs(one) for one in signal.samples), default=0) + 1
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


def _wfdb_format(samples: "np.ndarray") -> tuple[str, int]:
    for name, bits in (("16", 16), ("24", 24), ("32", 32)):
        if len(samples) == 0 or int(np.abs(samples).max()) < 1 << (bits - 1):
            return name, -(1 << (bits - 1))
    raise ExportError("samples of more than 32 bits")


def _notes(recording: Recording, begin_us: int) -> list[tuple[int, int, str]]:
    """(onset, duration, text) of events and gaps, in order; us from the file's beginning."""
    notes = [
        (one.unix_us - begin_us, 0, one.what + (f": {one.text}" if one.text else ""))
        for one in recording.events
    ]
    for signal in recording.signals:
        for index, count in signal.gaps():
            onset_us = signal.begin_us - begin_us + index * signal.period_ns // 1000
            notes.append((onset_us, count * signal.period_ns // 1000, f"no {signal.label}"))
    notes += [(one.unix_us - begin_us, 0, _reading(one)) for one in recording.values]
    return sorted(notes)


def _reading(one: Any) -> str:
    return f"{one.name} {_exact(one.value, one.exponent)}"


def _exact(value: int, exponent: int) -> str:
    """value x 10^exponent, with as many decimals as it has."""
    if exponent >= 0:
        return str(value * 10**exponent)
    sign, digits = "-" if value < 0 else "", str(abs(value)).zfill(1 - exponent)
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"


WRITERS = {"edf": edf, "wfdb": wfdb, "csv": tables}


def write_all(found: Iterator[Recording], form: str, out: Path, subject: str) -> Sequence[Path]:
    """Each recording in files of its own in the folder `out`, and what it is in NAME.json."""
    made: list[Path] = []
    for n, recording in enumerate(found, 1):
        if not (recording.signals or recording.events or recording.values):
            continue
        path = out / f"{subject}-{n:04d}"
        made.append(WRITERS[form](recording, path, subject))
        describe(recording, path, subject)
    return made
