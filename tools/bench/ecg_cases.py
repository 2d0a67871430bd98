"""Generated ECGs of known size, rate, drift and pacing: what must be found and what must not.

    python -m tools.bench ecg-cases [--only pace] [--json FILE] [--plot FILE]

The waves are drawn after the published descriptions of the tests of IEC 60601-2-27 (201.12.1.101.13 to .17,
201.7.9.2.9.101) and ANSI/AAMI EC13 (4.1.2.1, 4.1.4.1, 4.2.6 to 4.2.8), pass a model of the front end
(ecg_waves.py says which) and the firmware's own chain. Bigeminy and tachycardia, which EC13 gives as recorded
figures, are drawn with their rates and heights. A row for each; status 1 if one fails.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench import ecg_waves as ecg
from tools.bench import plots_ecg, records, report
from tools.bench.heartbeats import FLUSH_S, FS_HZ, Detection, detect
from tools.bench.scoring import score

SECONDS = 25
FROM_S, END_S = 5.0, 1.0
RR_80 = 0.75
STEP_AT_S = 20.0
WITHIN_S = 8
ALARM_LIMIT, ALARM_WITHIN_S = 150, 10
SPIKE_TO_QRS_S = 0.04
VF_LIKE = 1  # of the chain's `cannot_analyse`

Judge = Callable[[Detection], tuple[bool, str]]


@dataclass(frozen=True)
class Case:
    """One wave and what is wanted of it. `judge` gives pass or fail and the figure."""

    group: str
    name: str
    wave: np.ndarray
    judge: Judge


def every_beat(peaks: Sequence[float], seconds: float) -> Judge:
    """Each is found from FROM_S on, and nothing else."""

    def judge(found: Detection) -> tuple[bool, str]:
        ends = [(-1.0, FROM_S - 0.2), (seconds - END_S, seconds + FLUSH_S)]
        result = score(peaks, found.beats, ends)
        return result.fn == 0 == result.fp and result.tp > 0, (
            f"{result.tp} of {result.tp + result.fn} found, {result.fp} false"
        )

    return judge


def no_beat(found: Detection) -> tuple[bool, str]:
    """Nothing is found at all."""
    return not found.beats, f"{len(found.beats)} false"


def rate(wanted: float) -> Judge:
    """From 20 s on each reading is within 5 % or 5 a minute, whichever is more."""

    def judge(found: Detection) -> tuple[bool, str]:
        readings = found.hr_bpm[20:SECONDS]
        off = max(0.05 * wanted, 5.0)
        return all(abs(hr - wanted) <= off for hr in readings), (
            f"{min(readings):.0f} to {max(readings):.0f} a minute, wanted {wanted:g}"
        )

    return judge


def follows(wanted: float, at_s: float) -> Judge:
    """Readings are within 5 % from WITHIN_S after the step on."""

    def judge(found: Detection) -> tuple[bool, str]:
        wrong = [s for s, hr in enumerate(found.hr_bpm, 1) if s > at_s and abs(hr - wanted) > 0.05 * wanted]
        inside = [s for s in wrong if s < len(found.hr_bpm) - FLUSH_S - 1]
        took = (max(inside) + 1 - at_s) if inside else 0.0
        return took <= WITHIN_S, f"within 5 % after {took:.1f} s"

    return judge


def passes(limit: float, at_s: float) -> Judge:
    """A reading above `limit` comes within ALARM_WITHIN_S of `at_s`, and what follows is no silence: a rate
    above it, or that the rhythm is like ventricular fibrillation or tachycardia, which alarms, too.
    """

    def judge(found: Detection) -> tuple[bool, str]:
        told = [
            hr > limit or why == VF_LIKE for hr, why in zip(found.hr_bpm, found.cannot_analyse, strict=True)
        ]
        after = [s for s, yes in enumerate(told, 1) if s > at_s and yes]
        if not after:
            return False, "not told"
        took = after[0] - at_s
        how = f"above {limit:g}" if found.hr_bpm[after[0] - 1] > limit else "VF/VT-like"
        on = all(told[after[0] - 1 : -FLUSH_S - 1])
        return took <= ALARM_WITHIN_S and on, f"{how} after {took:.1f} s{'' if on else ', then lost'}"

    return judge


def regular(
    height_mv: float, width_s: float, rr_s: float = RR_80, t_mv: float = 0.0
) -> tuple[np.ndarray, list[float]]:
    """A regular rhythm and its peaks."""
    wave = ecg.silence(SECONDS)
    starts = ecg.every(0.5, rr_s, SECONDS)
    peaks = [ecg.qrs(wave, t, height_mv, width_s) for t in starts]
    for t in starts:
        if t_mv:
            ecg.t_wave(wave, t, t_mv)
    return wave, peaks


def sizes() -> Iterator[Case]:
    """QRS complexes that must be taken, and those that must not."""
    for height in (0.5, 1, 2, 5, -0.5, -5):
        for width in (0.04, 0.08, 0.1, 0.12):
            wave, peaks = regular(height, width)
            yield Case("QRS", f"{height:g} mV, {width * 1000:g} ms", wave, every_beat(peaks, SECONDS))
    for rr in (2.0, 0.3):
        wave, peaks = regular(1, 0.08, rr)
        yield Case("QRS", f"1 mV, 80 ms, {60 / rr:g} a minute", wave, every_beat(peaks, SECONDS))
    for height in (0.15, -0.15):
        for width in (0.04, 0.06, 0.08, 0.1, 0.12):
            wave, _ = regular(height, width)
            yield Case("no QRS", f"{height:g} mV, {width * 1000:g} ms", wave, no_beat)


def disturbed() -> Iterator[Case]:
    """T waves, hum, drift."""
    for height in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        wave, peaks = regular(1, 0.1, t_mv=height)
        yield Case("T wave", f"{height:g} mV after 1 mV of 100 ms", wave, every_beat(peaks, SECONDS))
    for hz in (50, 60):
        wave, peaks = regular(0.5, 0.1)
        ecg.mains(wave, hz, 0.1)
        yield Case("mains", f"{hz} Hz, 100 uV with 0.5 mV", wave, every_beat(peaks, SECONDS))
        wave = ecg.silence(SECONDS)
        ecg.mains(wave, hz, 0.1)
        yield Case("mains", f"{hz} Hz, 100 uV alone", wave, no_beat)
    wave, peaks = regular(0.5, 0.1)
    ecg.drift(wave, 0.1, 4)
    yield Case("drift", "4 mV, 0.1 Hz with 0.5 mV", wave, every_beat(peaks, SECONDS))
    wave = ecg.silence(SECONDS)
    ecg.drift(wave, 0.1, 4)
    yield Case("drift", "4 mV, 0.1 Hz alone", wave, no_beat)


def paced() -> Iterator[Case]:
    """Pace pulses with and without a QRS, with and without an overshoot."""
    tails = ((0.0, 0.0), (0.025, 0.1), (0.25, 0.004))
    for height in (2, -2, 20, -20, 700, -700):
        for width in (0.0001, 0.0005, 0.001, 0.002):
            for share, tail_s in tails:
                tail = min(2.0, abs(height) * share)
                if tail_s > 0.05 and tail > 0.1:
                    continue
                name = f"{height:+d} mV, {width * 1000:g} ms"
                name += f", overshoot {tail:g} mV of {tail_s * 1000:g} ms" if tail else ""
                wave = ecg.silence(SECONDS)
                # not in step with the samples, so that all phases occur
                for i, t in enumerate(ecg.every(0.5, RR_80, SECONDS)):
                    ecg.pace(wave, t + i % 8 * 0.0005, height, width, tail, tail_s)
                yield Case("spikes alone", name, wave, no_beat)
                wave = ecg.silence(SECONDS)
                peaks: list[float] = []
                for i, t in enumerate(ecg.every(0.5, RR_80, SECONDS)):
                    ecg.pace(wave, t + i % 8 * 0.0005, height, width, tail, tail_s)
                    peaks.append(ecg.qrs(wave, t + SPIKE_TO_QRS_S, 1, 0.1))
                yield Case("spikes, QRS", name, wave, every_beat(peaks, SECONDS))


def rhythms() -> Iterator[Case]:
    """Bigeminy, steps of the rate, tachycardia."""
    for name, pair_s, coupling_s, wanted in (
        ("A1 ventricular bigeminy", 1.5, 0.55, 80),
        ("A2 slow alternating", 2.0, 0.65, 60),
        ("A3 rapid alternating", 1.0, 0.42, 120),
    ):
        wave = ecg.silence(SECONDS)
        for t in ecg.every(0.5, pair_s, SECONDS):
            ecg.qrs(wave, t, 1, 0.08)
            ecg.t_wave(wave, t, 0.2)
            ecg.ventricular(wave, t + coupling_s, 1.5)
        yield Case("irregular", name, wave, rate(wanted))
    wave = ecg.silence(SECONDS)
    for i, t in enumerate(ecg.every(0.5, 60 / 90, SECONDS)):
        ecg.ventricular(wave, t, 1.2 if i % 2 else -1.2, 0.12)
    yield Case("irregular", "A4 bidirectional systoles", wave, rate(90))
    for bpm in (120, 40):
        wave = ecg.silence(STEP_AT_S + 25)
        starts = [t for t in ecg.every(0.5, RR_80, STEP_AT_S) if t < STEP_AT_S]
        last = starts[-1]
        starts += [float(t) for t in np.arange(last + 60 / bpm, STEP_AT_S + 24, 60 / bpm)]
        for t in starts:
            ecg.qrs(wave, t, 1, 0.08)
        yield Case("step", f"80 to {bpm} a minute", wave, follows(bpm, last))
    for name, height, bpm in (
        ("4a 1 mV", 1, 206), ("4a halved", 0.5, 206), ("4a doubled", 2, 206),
        ("4b 2 mV", 2, 195), ("4b halved", 1, 195), ("4b doubled", 4, 195),
    ):  # fmt: skip
        wave = ecg.silence(STEP_AT_S + 20)
        for t in ecg.every(0.5, RR_80, STEP_AT_S):
            ecg.qrs(wave, t, 1, 0.08)
        for t in np.arange(STEP_AT_S, STEP_AT_S + 19, 60 / bpm):
            ecg.ventricular(wave, float(t), height, 0.12)
        yield Case("tachycardia", f"{name}, {bpm} a minute", wave, passes(ALARM_LIMIT, STEP_AT_S))


def cases() -> Iterator[Case]:
    """All of them."""
    yield from sizes()
    yield from disturbed()
    yield from paced()
    yield from rhythms()


def _run(case: Case, runs: str) -> tuple[Case, np.ndarray, Detection, bool, str]:
    samples = ecg.sampled(case.wave)
    found = detect(np.pad(samples, (0, FLUSH_S * FS_HZ), mode="edge"), runs)
    passed, figure = case.judge(found)
    return case, samples, found, passed, figure


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a case fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench ecg-cases", description="Generated ECGs: what is found and what is not."
    )
    parser.add_argument("--only", metavar="GROUP", help="only groups whose name has this in it")
    records.add_interpreter(parser)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time (%(default)s)")
    plots_ecg.add_option(parser)
    report.add_option(parser)
    options = parser.parse_args(argv)
    runs = records.runs(parser, options)
    chosen = [case for case in cases() if not options.only or options.only in case.group]
    if not chosen:
        parser.error(f"no group has {options.only!r} in its name")
    rows: list[dict[str, Any]] = []
    pictures: list[plots_ecg.Strip] = []
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for case, samples, found, passed, figure in pool.map(lambda c: _run(c, runs), chosen):
            rows.append({"group": case.group, "case": case.name, "passed": passed, "result": figure})
            print(f"{'pass' if passed else 'FAIL'}  {case.group:13} {case.name:44} {figure}", flush=True)
            if not passed or not pictures or pictures[-1].group != case.group:
                title = f"{case.group}: {case.name}: {figure}"
                pictures.append(plots_ecg.Strip(case.group, title, samples, found.beats, passed))
    failed = sum(not row["passed"] for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} pass")
    if options.plot is not None:
        plots_ecg.strips(options.plot, pictures)
    facts = {"passed": len(rows) - failed, "failed": failed, "interpreter": Path(runs).name}
    report.write(options.json, {**facts, "cases": rows})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
