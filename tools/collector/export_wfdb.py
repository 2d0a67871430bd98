"""Recordings as WFDB, written piece by piece: the library would hold all samples, and then all bytes, of a
recording several times. Its header is the library's (wfdb 4.3: `wrsamp`), .dat and annotations are byte for
byte what that writes; formats: physionet.org/physiotools/wag (signal(5), annot(5)).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tools.collector.export_grid import Grid, Placed
from tools.collector.export_text import Note

CHUNK_SAMPLES = 1 << 20
SIZES = {"16": 2, "24": 3, "32": 4}
"""Bytes of a sample, by format: two's complement, the low byte first."""

_NOTE, _SKIP, _AUX = 22, 59, 63
_SKIP_MOST, _APART_MOST = 0x7FFFFFFF, 1023
# Annotations are 1000 a second: an annotation that says so, and the mark that what is about the file ends.
_PER_S = b"## time resolution: 1000"
_BEGIN = bytes((0, _NOTE << 2, len(_PER_S), _AUX << 2)) + _PER_S + bytes((0, 236, 255, 255, 255, 255, 1, 0))
_END = bytes(2)


def write_signals(of: Grid, path: Path, names: Sequence[str], forms: Sequence[str], subject: str) -> None:
    """NAME.hea and NAME.dat, or where formats differ one for each that follows another, of a grid with
    signals. `forms`: the format of each, which holds its samples.
    """
    import wfdb as library

    signals = [placed.signal for placed in of.signals]
    begin = datetime.fromtimestamp(of.begin_us // 1_000_000, UTC).replace(tzinfo=None)
    # Of each signal the first sample and the sum of all, modulo 65536, as the header says them.
    first, sums = [0] * len(signals), [0] * len(signals)
    record = library.Record(
        record_name=path.name,
        n_sig=len(signals),
        fs=1e6 / of.block_us,
        sig_len=of.blocks,
        base_datetime=begin,
        fmt=list(forms),
        samps_per_frame=[placed.each for placed in of.signals],
        adc_gain=[1000 / one.lsb for one in signals],
        baseline=[0] * len(signals),
        units=[one.unit for one in signals],
        sig_name=list(names),
        init_value=first,
        checksum=sums,
        comments=[
            f"subject: {subject}",
            *(f"{one.label}: LSB {one.lsb} x 10^-3 {one.unit}" for one in signals),
        ],
    )
    # The names of the files are among the defaults.
    record.set_defaults()
    files: list[str] = record.file_name or []
    for file in dict.fromkeys(files):
        which = [n for n, name in enumerate(files) if name == file]
        _write_dat(path.with_name(file), of, which, forms[which[0]], first, sums)
    record.wrheader(write_dir=str(path.parent))


def _write_dat(
    path: Path, of: Grid, which: Sequence[int], form: str, first: list[int], sums: list[int]
) -> None:
    mark = no_sample(form)
    signals = [of.signals[n] for n in which]
    step = max(1, CHUNK_SAMPLES // sum(placed.each for placed in signals))
    with path.open("wb") as file:
        for block in range(0, of.blocks, step):
            end = min(block + step, of.blocks)
            pieces = [_blocks(placed, block, end, mark) for placed in signals]
            for n, piece in zip(which, pieces, strict=True):
                sums[n] = (sums[n] + int(piece.sum(dtype=np.int64))) % 65536
                first[n] = int(piece[0, 0]) if block == 0 else first[n]
            words = np.hstack(pieces).astype("<i4").reshape(-1, 1).view(np.uint8)
            file.write(words[:, : SIZES[form]].tobytes())


def _blocks(placed: Placed, block: int, end: int, mark: int) -> "np.ndarray":
    return placed.part(block * placed.each, end * placed.each, mark).reshape(end - block, placed.each)


def form_of(most: int) -> str | None:
    """The smallest format with room for `most` and for the mark of no sample; None: there is none."""
    return next((form for form, size in SIZES.items() if most < 1 << (8 * size - 1)), None)


def no_sample(form: str) -> int:
    """What stands where nothing was measured."""
    return -(1 << (8 * SIZES[form] - 1))


def write_notes(notes: Iterable[Note], path: Path) -> None:
    """`path`: notes in order, at 1000 a second, of at most 255 characters of Latin-1. No note, no file."""
    # A reader takes a note at 0 for one about the file, and drops it.
    timed = ((max(1, onset_us // 1000), text.encode("latin-1")) for onset_us, _, text in notes)
    one, last_ms = next(timed, None), 0
    if one is None:
        return
    with path.open("wb") as file:
        file.write(_BEGIN)
        while one is not None:
            file.write(_annotation(one[0] - last_ms, one[1]))
            one, last_ms = next(timed, None), one[0]
        file.write(_END)


def _annotation(apart: int, text: bytes) -> bytes:
    out = bytearray()
    while apart > _APART_MOST:
        skipped = min(apart, _SKIP_MOST)
        out += bytes((0, _SKIP << 2))
        out += (skipped >> 16).to_bytes(2, "little") + (skipped & 0xFFFF).to_bytes(2, "little")
        apart -= skipped
    out += (_NOTE << 10 | apart).to_bytes(2, "little")
    out += bytes((len(text), _AUX << 2)) + text + bytes(len(text) % 2)
    return bytes(out)
