"""Score the node's oximetry on pulse waves of known saturation. They are models: no tissue, no calibration.

    python -m tools.bench ppg [--data DIR] [--json FILE]

The firmware's own chain runs on the MicroPython VM where there is one. Judged is each second from the 12th
on. Trajectories of desaturating people (`spo2_trajectories`) and beats of recordings (`mitdb`) come from
$VITALWIRE_DATA, and are left out where they are not.
"""

import argparse
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boards.virtual.recording import RecordError, data_dir
from tools.bench import report
from tools.bench.interpreter import interpreter, run
from tools.bench.pulses import (
    DC_IR,
    FULL_SCALE,
    SHAPES,
    Pulse,
    Trace,
    constant,
    desaturation,
    of_recording,
    steady,
)

FROM_S = 12
SECONDS = 40
DELAYS_S = range(0, 11)
BEATS_SECONDS, BEATS_PCT = 120, 97.0
BLOCK = 20
NOISE_SHARE = 0.0003
RATES = (40, 60, 72, 100, 150, 200)
SATURATIONS = (70, 75, 80, 85, 90, 95, 97, 100)

KNOWN = "known saturation, 70 to 100 %"
NOISY = "noise of 0.03 % of DC, perfusion 1 %"
WEAK = "noise of 0.03 % of DC, perfusion 0.2 %"
NOTHING = "nothing to read"
APART = "movement that the colours do not share"
SHARED = "movement that they share"
PEOPLE = "people breathing down to 70 %"
BEATS = "97 % on the beats of recordings"

# Reads cases: the number of blocks (4 bytes), then so often 20 red and 20 infrared counts (4 bytes each).
RUNNER = """\
import sys
from array import array
from firmware.dsp.ppg import PpgChain
red = array("i", [0] * 20)
ir = array("i", [0] * 20)
count = array("i", [0])
with open(sys.argv[1], "rb") as f:
    while f.readinto(count) == 4:
        chain = PpgChain()
        print("C")
        for i in range(count[0]):
            f.readinto(red)
            f.readinto(ir)
            chain.process(red, ir, 20)
            if i % 5 == 4:
                print(chain.spo2_x10, chain.pulse_x10, chain.pi_x100, chain.quality)
"""


class Case(NamedTuple):
    """One trace of a group of the report. `bpm`: the pulse rate in it, None when it is not judged."""

    group: str
    name: str
    trace: Trace
    bpm: float | None = None


def models() -> Iterator[Case]:
    """The traces that need no recordings."""
    for shape in SHAPES:
        for bpm in RATES:
            for spo2 in SATURATIONS:
                for breath in (0.003, 0.02):
                    name = f"{shape.__name__}, {spo2} %, {bpm} /min, breathing {breath:.1%}"
                    yield _steady(KNOWN, name, Pulse(spo2, bpm, shape, breath=breath))
        for spo2 in SATURATIONS:
            name = f"{shape.__name__}, {spo2} %"
            for group, pi in ((NOISY, 0.01), (WEAK, 0.002)):
                yield _steady(group, name, Pulse(spo2, 72, shape, pi, noise=NOISE_SHARE * DC_IR))
    for counts in (1, 10, 150):
        pulse = Pulse(pi=0.0, breath=0.005, noise=counts)
        yield Case(NOTHING, f"no pulse, noise of {counts} counts", steady(pulse, SECONDS))
    yield Case(NOTHING, "drowned pulse", steady(Pulse(pi=0.002, noise=200), SECONDS))
    yield Case(NOTHING, "saturated", constant(FULL_SCALE, SECONDS))
    yield Case(NOTHING, "no finger", constant(700, SECONDS))
    for share in (0.5, 1.0, 2.0):
        for group, shared in ((APART, False), (SHARED, True)):
            trace = steady(Pulse(), SECONDS, _movement(share, shared))
            yield Case(group, f"{share:g} of the pulse's height", trace)


def _steady(group: str, name: str, pulse: Pulse) -> Case:
    return Case(group, name, steady(pulse, SECONDS), pulse.bpm)


def _movement(share: float, shared: bool) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """From the 12th second on, as high as that share of the pulse (2 % of DC) from peak to peak."""

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = 0.01 * share * np.sin(2 * np.pi * 1.9 * t + 3 * np.sin(0.9 * t)) * (t >= FROM_S)
        b = 0.01 * share * np.sin(2 * np.pi * 2.6 * t + 2 * np.sin(1.3 * t)) * (t >= FROM_S)
        return (a, a) if shared else (b, a)

    return at


def recorded(data: "Path | None") -> Iterator[Case]:
    """The traces along recordings, as far as there are any. Raises RecordError."""
    if data is None:
        return
    for path in sorted((data / "spo2_trajectories").glob("*.csv")):
        yield Case(PEOPLE, path.stem, desaturation(path))
    for header in sorted((data / "mitdb").glob("*.hea")):
        yield Case(BEATS, header.stem, of_recording(header.with_suffix(""), BEATS_PCT, BEATS_SECONDS))


def read(traces: Sequence[Trace], runs: str) -> list[np.ndarray]:
    """What the chain shows of each, a row a second: SpO2 (%), pulse (/min), perfusion (%), quality."""
    data = bytearray()
    for trace in traces:
        blocks = len(trace.red) // BLOCK
        data += struct.pack("=i", blocks)
        pairs = np.stack([trace.red[: blocks * BLOCK], trace.ir[: blocks * BLOCK]])
        data += pairs.reshape(2, blocks, BLOCK).transpose(1, 0, 2).astype("=i4").tobytes()
    found: list[list[list[float]]] = []
    for line in run(RUNNER, bytes(data), runs):
        if line == "C":
            found.append([])
        else:
            spo2, pulse, pi, quality = (int(word) for word in line.split())
            found[-1].append([spo2 / 10, pulse / 10, pi / 100, quality])
    return [np.array(rows) for rows in found]


def judge(case: Case, seen: np.ndarray) -> dict[str, Any]:
    """One row: seconds judged and with a reading, and how far the readings are from what was put in."""
    spo2, truth = seen[FROM_S:, 0], case.trace.truth_pct[FROM_S : len(seen)]
    shown = spo2 > 0
    row: dict[str, Any] = {"name": case.name, "seconds": len(spo2), "with_reading": int(shown.sum())}
    if not shown.any() or case.group == NOTHING:
        return row
    if case.group == PEOPLE:
        row.update(_delay(seen[:, 0], case.trace.truth_pct))
        return row
    errors = spo2[shown] - truth[shown]
    row.update(
        worst_error=round(float(np.abs(errors).max()), 1),
        lowest_pct=float(spo2[shown].min()),
        highest_pct=float(spo2[shown].max()),
    )
    if case.bpm is not None:
        row["worst_pulse_error"] = round(float(np.abs(seen[FROM_S:, 1][shown] - case.bpm).max()), 1)
    return row


def _delay(read_pct: np.ndarray, truth_pct: np.ndarray) -> dict[str, Any]:
    """How late the readings follow, and their error against what was put in so long before."""
    best: tuple[float, int, np.ndarray] | None = None
    for delay in DELAYS_S:
        at = np.arange(max(FROM_S, max(DELAYS_S)), len(read_pct))
        at = at[read_pct[at] > 0]
        errors = read_pct[at] - truth_pct[at - delay]
        if best is None or float(errors.std()) < best[0]:
            best = float(errors.std()), delay, errors
    assert best is not None
    sd, delay, errors = best
    worst = round(float(np.abs(errors).max()), 1)
    return {
        "delay_s": delay,
        "bias": round(float(errors.mean()), 2),
        "sd": round(sd, 2),
        "worst_error": worst,
        "lowest_pct": float(read_pct[read_pct > 0].min()),
        "highest_pct": float(read_pct.max()),
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rows of a group together."""
    total: dict[str, Any] = {
        "traces": len(rows),
        "seconds": sum(row["seconds"] for row in rows),
        "with_reading": sum(row["with_reading"] for row in rows),
    }
    for key in ("worst_error", "worst_pulse_error", "sd"):
        values = [row[key] for row in rows if key in row]
        if values:
            total[key] = max(values)
    for key, pick in (("lowest_pct", min), ("highest_pct", max)):
        values = [row[key] for row in rows if key in row]
        if values:
            total[key] = pick(values)
    delays = [row["delay_s"] for row in rows if "delay_s" in row]
    return {**total, "delays_s": sorted(delays)} if delays else total


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a recording cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench ppg", description="Score SpO2 on pulse waves of known saturation."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings; else $VITALWIRE_DATA")
    parser.add_argument("--interpreter", help="what runs the firmware; the MicroPython VM if there is one")
    report.add_option(parser)
    options = parser.parse_args(argv)
    runs = options.interpreter or interpreter()
    data = options.data or data_dir()
    try:
        cases = [*models(), *recorded(data)]
    except RecordError as e:
        print(e, file=sys.stderr)
        return 1
    if not any(case.group in (PEOPLE, BEATS) for case in cases):
        print("no recordings: --data DIR or VITALWIRE_DATA adds what follows people", file=sys.stderr)
    groups: dict[str, list[dict[str, Any]]] = {}
    for case, seen in zip(cases, read([case.trace for case in cases], runs), strict=True):
        groups.setdefault(case.group, []).append(judge(case, seen))
    print(
        f"{'seconds from the 12th on, points of SpO2':42} traces seconds shown  worst     SD  delay    range"
    )
    totals = {name: summary(rows) for name, rows in groups.items()}
    for name, total in totals.items():
        print(_line(name, total))
    facts = {"interpreter": Path(runs).name, "from_s": FROM_S}
    report.write(options.json, {**facts, "groups": totals, "rows": groups})
    return 0


def _line(name: str, total: dict[str, Any]) -> str:
    def cell(key: str, width: int) -> str:
        return f"{total[key]:{width}.1f}" if key in total else f"{'–':>{width}}"

    delays = total.get("delays_s", [])
    delay = f"{delays[0]}–{delays[-1]} s" if delays else "–"
    span = f"{total['lowest_pct']:.1f}–{total['highest_pct']:.1f}" if "lowest_pct" in total else "–"
    return (
        f"{name:42} {total['traces']:6d} {total['seconds']:7d} {total['with_reading']:5d}"
        f" {cell('worst_error', 6)} {cell('sd', 6)} {delay:>6} {span:>11}"
    )


if __name__ == "__main__":
    sys.exit(main())
