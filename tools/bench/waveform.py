"""Bits a sample of the waveform codec and of general ones, on the same samples of whole recordings.

    python -m tools.bench waveform [--db DIR] [--records 100,101] [--seconds 2] [--cuff DIR] [--json FILE]

Every signal of every record is taken as the integers that the file holds, from the first to the last. Ours
(docs/wire-protocol.md §8.3) is cut into blocks of `--seconds`, each of which decodes alone, as in a frame;
counted is every byte of every block: mode, width, parameters, first sample, padding. A frame's own fields
and its seal are not. The others get each signal whole, as 16-bit words or (`…_differences`) as first
differences in such words, at their highest level; FLAC gets whichever is smaller, one file a signal or one
for all, of which blocks of metadata other than STREAMINFO are not counted. Everything is decoded again and
compared.

Then the same of waveforms that are no recorded ECG (wave_sources.py says which, and what is synthetic), and
how long a block of 500 samples of the first record takes to decode, interpreted and compiled.
"""

import argparse
import bz2
import io
import lzma
import os
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordError, data_dir
from protocol import waveform, waveform_compiled
from tools.bench import records, report, wave_sources

DEFAULT_SECONDS = 2.0
OURS, FLAC = "ours", "flac"
FLAC_RATE_HZ = 44_100  # FLAC is told one, and its size does not depend on it
FLAC_CHANNELS = 8
STREAMINFO = 0
DECODED_SAMPLES, DECODED_TIMES = 500, 200

GENERAL: "dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]" = {
    "zlib": (lambda data: zlib.compress(data, 9), zlib.decompress),
    "bz2": (lambda data: bz2.compress(data, 9), bz2.decompress),
    "xz": (lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress),
}


def has_flac() -> bool:
    """Whether the package soundfile (libsndfile with FLAC) is here, new enough to be told the level."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is here, libsndfile is not
        return False
    return "compression_level" in signature(soundfile.write).parameters


def codecs(flac: bool) -> "list[str]":
    """The codecs that are compared, in the order of the table."""
    general = [form for name in GENERAL for form in (name, f"{name}_differences")]
    return [OURS, *([FLAC] if flac else []), *general]


def load(path: Path) -> "tuple[np.ndarray, float]":
    """A record's integers (samples by signals, 32 bits) and its rate in Hz. Raises RecordError."""
    import wfdb

    try:
        record: Any = wfdb.rdrecord(str(path), physical=False)
        samples = np.asarray(record.d_signal)
    except (OSError, ValueError, TypeError, IndexError) as e:
        raise RecordError(str(path), [], f"it cannot be read: {e}") from e
    if samples.size and int(np.abs(samples).max()) >= 1 << (waveform.MAX_BITS - 1):
        raise RecordError(str(path), [], f"a sample is wider than {waveform.MAX_BITS} bits")
    return samples.astype(np.int32), float(record.fs)


def ours(signal: np.ndarray, block: int) -> "tuple[int, bool]":
    """(bytes, whether all decodes to what went in) of one signal in blocks of `block` samples."""
    values = signal.tolist()
    size, same = 0, True
    for at in range(0, len(values), block):
        samples = values[at : at + block]
        data = waveform_compiled.encode(samples, len(samples))
        size += len(data)
        same = same and waveform_compiled.decode(data, len(samples)).tolist() == samples
    return size, same


def general(name: str, signal: np.ndarray, differences: bool) -> "tuple[int, bool]":
    """The same of one of Python's compressors, over one signal whole."""
    compress, decompress = GENERAL[name]
    fed = np.diff(signal, prepend=0) if differences else signal
    kind = "<i2" if int(np.abs(fed).max(initial=0)) < 1 << 15 else "<i4"
    packed = compress(fed.astype(kind).tobytes())
    back = np.frombuffer(decompress(packed), kind).astype(np.int32)
    if differences:
        back = np.cumsum(back, dtype=np.int32)
    return len(packed), bool(np.array_equal(back, signal))


def flac(signals: np.ndarray) -> "tuple[int, bool]":
    """The same of FLAC at its highest level, over samples by signals. Needs the package soundfile."""
    import soundfile

    wide = int(np.abs(signals).max(initial=0)) >= 1 << 15
    fed = (signals << 8).astype(np.int32) if wide else signals.astype(np.int16)
    file = io.BytesIO()
    soundfile.write(
        file, fed, FLAC_RATE_HZ, "PCM_24" if wide else "PCM_16", format="FLAC", compression_level=1.0
    )
    file.seek(0)
    back, _ = soundfile.read(file, dtype="int32" if wide else "int16", always_2d=True)
    return _flac_bytes(file.getvalue()), bool(np.array_equal(back.reshape(fed.shape), fed))


def _flac_bytes(data: bytes) -> int:
    """The size of a FLAC stream without the metadata that nobody needs to decode it (RFC 9639 §8)."""
    size, at, last = len(data), 4, False
    while not last:
        last, kind = data[at] >> 7 == 1, data[at] & 0x7F
        length = 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        if kind != STREAMINFO:
            size -= length
        at += length
    return size


def measure(path: Path, seconds: float, with_flac: bool) -> "dict[str, Any]":
    """One row: `bytes`, `bits_per_sample` and `lossless`, each by codec. Raises RecordError."""
    signals, fs_hz = load(path)
    block = min(max(1, round(seconds * fs_hz)), waveform.MAX_SAMPLES)
    found: dict[str, list[tuple[int, bool]]] = {name: [] for name in codecs(with_flac)}
    for index in range(signals.shape[1]):
        signal = signals[:, index]
        found[OURS].append(ours(signal, block))
        for name in GENERAL:
            found[name].append(general(name, signal, False))
            found[f"{name}_differences"].append(general(name, signal, True))
        if with_flac:
            found[FLAC].append(flac(signal[:, None]))
    if with_flac and 1 < signals.shape[1] <= FLAC_CHANNELS:
        together = flac(signals)
        if together[0] < sum(size for size, _ in found[FLAC]):
            found[FLAC] = [together]
    sizes = {name: sum(size for size, _ in each) for name, each in found.items()}
    return {
        "record": path.name,
        "samples": int(signals.size),
        "block_samples": block,
        "bytes": sizes,
        "bits_per_sample": {name: round(8 * size / signals.size, 4) for name, size in sizes.items()},
        "lossless": {name: all(same for _, same in each) for name, each in found.items()},
    }


def measure_source(source: wave_sources.Source, seconds: float, with_flac: bool) -> "dict[str, Any]":
    """What `measure` says of a record, for ours and FLAC only."""
    block = max(1, round(seconds * source.rate_hz))
    found = {OURS: [ours(signal, block) for signal in source.signals]}
    if with_flac:
        found[FLAC] = [flac(signal[:, None]) for signal in source.signals]
    samples = sum(len(signal) for signal in source.signals)
    sizes = {name: sum(size for size, _ in each) for name, each in found.items()}
    return {
        "samples": samples,
        "rate_hz": source.rate_hz,
        "synthetic": source.synthetic,
        "bits_per_sample": {name: round(8 * size / samples, 4) for name, size in sizes.items()},
        "lossless": all(same for each in found.values() for _, same in each),
    }


def decoding(path: Path) -> "dict[str, Any]":
    """Microseconds to decode a block of the record's first signal, the least of many; without numba,
    `compiled_us` is None.
    """
    samples = load(path)[0][:DECODED_SAMPLES, 0].tolist()
    data = waveform.encode(samples, len(samples))

    def least(decode: "Callable[[bytes, int], Any]") -> float:
        times: list[int] = []
        for _ in range(DECODED_TIMES):
            begun = time.perf_counter_ns()
            decode(data, len(samples))
            times.append(time.perf_counter_ns() - begun)
        return round(min(times) / 1000, 1)

    compiled = waveform_compiled.loops().restored is not None
    return {
        "samples": len(samples),
        "bytes": len(data),
        "interpreted_us": least(waveform.decode),
        "compiled_us": least(waveform_compiled.decode) if compiled else None,
    }


def _measured(path: Path, seconds: float, with_flac: bool) -> "dict[str, Any] | str":
    """`measure`, or why there is none, in words: its exception does not travel between processes."""
    try:
        return measure(path, seconds, with_flac)
    except RecordError as e:
        return str(e)


def gross(rows: "Sequence[dict[str, Any]]") -> "dict[str, Any]":
    """All samples of all records together: {codec: {"bits_per_sample", "bytes", "lossless"}}."""
    samples = sum(row["samples"] for row in rows)
    out: dict[str, Any] = {}
    for name in rows[0]["bytes"]:
        size = sum(row["bytes"][name] for row in rows)
        same = all(row["lossless"][name] for row in rows)
        out[name] = {"bits_per_sample": round(8 * size / samples, 4), "bytes": size, "lossless": same}
    return out


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 when a record cannot be used, or when a codec does not give back what went in."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench waveform", description="Bits a sample, ours beside FLAC and others."
    )
    records.add_options(parser)
    parser.add_argument(
        "--seconds", type=report.seconds, default=DEFAULT_SECONDS, help="length of our blocks (%(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="records at a time (%(default)s)"
    )
    parser.add_argument(
        "--cuff", type=Path, metavar="DIR", help="recorded cuff deflations; else $VITALWIRE_DATA/cuff"
    )
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    paths = records.chosen(parser, options)
    with_flac = has_flac()
    names = codecs(with_flac)
    if not with_flac:
        print(
            "FLAC is left out: it needs the package soundfile, 0.13 or newer (pip install soundfile)",
            file=sys.stderr,
        )
    print(f"bits a sample, all signals, ours in blocks of {options.seconds:g} s (Δ: of first differences)")
    print(f"{'record':>8} {'samples':>9}" + "".join(f"{_title(name):>8}" for name in names))
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(min(options.jobs, len(paths))) as pool:
        waiting = [pool.submit(_measured, path, options.seconds, with_flac) for path in paths]
        for future in waiting:
            row = future.result()
            if isinstance(row, str):
                print(row, file=sys.stderr)
                pool.shutdown(cancel_futures=True)
                return 1
            rows.append(row)
            print(_line(rows[-1]["record"], rows[-1]["samples"], rows[-1]["bits_per_sample"]), flush=True)
    total = gross(rows)
    samples = sum(row["samples"] for row in rows)
    print(_line("all", samples, {name: total[name]["bits_per_sample"] for name in names}))
    data = data_dir()
    cuff = options.cuff or (Path(data) / "cuff" if data is not None else None)
    print("other waveforms: bits a sample")
    others: dict[str, Any] = {}
    for source in wave_sources.all_of(cuff):
        row = others[source.name] = measure_source(source, options.seconds, with_flac)
        bits = "".join(f"   {name} {value:.3f}" for name, value in row["bits_per_sample"].items())
        what = "synthetic" if source.synthetic else "recorded"
        print(f"{source.name:>8} {row['samples']:9d}{bits}   {source.rate_hz} Hz, {what}")
    speed = decoding(paths[0])
    compiled = "no numba" if speed["compiled_us"] is None else f"{speed['compiled_us']} us compiled"
    print(f"a block of {speed['samples']} decodes in {speed['interpreted_us']} us interpreted, {compiled}")
    lossless = all(total[name]["lossless"] for name in names) and all(
        row["lossless"] for row in others.values()
    )
    print("everything decodes to what went in" if lossless else "NOT LOSSLESS")
    summary = {
        **total,
        "lossless": lossless,
        "flac_available": with_flac,
        "seconds": options.seconds,
        "samples": samples,
        "counted": "all bytes of a codec's own output; ours: of blocks that each decode alone",
        "records": rows,
        "other": others,
        "decode": speed,
    }
    report.write(options.json, summary)
    return 0 if lossless else 1


def _title(name: str) -> str:
    return name.replace("_differences", " Δ")


def _line(title: str, samples: int, bits: "dict[str, float]") -> str:
    return f"{title:>8} {samples:9d}" + "".join(f"{value:8.3f}" for value in bits.values())


if __name__ == "__main__":
    sys.exit(main())
