"""Strips as FHIR: what was measured while a lead was off says so, and a sensor's own clock breaks none."""

import pytest

from edge_agent.forward.fhir_codes import instant
from edge_agent.forward.fhir_waves import MAX_STRIP_S
from protocol import frames as f
from protocol import waveform
from tests.edge_agent.fhir_kit import EPOCH_US, SECOND, Known, gathered, row


def strips(bodies: list[tuple[int, dict]]) -> list[dict]:
    """The observations of the waves (t_us, what differs from 100 samples at 100 Hz)."""
    known = Known()
    for seq, (t_us, more) in enumerate(bodies):
        data = waveform.encode([9] * 100, 100)
        body = {1: f.CH_PPG_RED, 2: 100, 3: 10_000_000, 4: 7813, 5: 2, 6: data, **more}
        known.stored[seq] = f.pack(f.KIND_WAVE, t_us, body)
    event = row(1000, f.KIND_EVENT, bodies[-1][0], {1: 33, 2: 3, 9: [[0, len(bodies)]]})
    _, items = gathered([event], known)
    return [item.entry.resource for item in items]


def numbers(found: list[dict]) -> list[str]:
    return ["-".join(one["identifier"][0]["value"].split("-")[-2:]) for one in found]


@pytest.mark.parametrize(
    ("channel", "flags", "said"),
    [
        (f.CH_ECG, f.WAVE_OFF, "lead off"),
        (f.CH_PPG_RED, f.WAVE_OFF, "finger off"),
        (f.CH_ECG, f.WAVE_OFF | f.WAVE_SATURATED, "lead off, saturated in part"),
    ],
)
def test_what_was_measured_while_a_lead_was_off_is_a_strip_of_its_own_that_says_so(
    channel, flags, said
) -> None:
    off = {f.WAVE_CHANNEL: channel, f.WAVE_FLAGS: flags}
    on = {f.WAVE_CHANNEL: channel}
    found = strips([(n * SECOND, off if 2 <= n < 5 else on) for n in range(8)])
    assert numbers(found) == ["0-1", "2-4", "5-7"]
    assert ["interpretation" in one for one in found] == [False, True, False]
    (told,) = found[1]["interpretation"]
    assert told["coding"][0]["code"] == "questionable" and told["text"] == said
    assert "valueSampledData" in found[1] and "dataAbsentReason" not in found[1]


def test_a_strip_that_is_saturated_here_and_there_stays_one() -> None:
    found = strips([(n * SECOND, {f.WAVE_FLAGS: f.WAVE_SATURATED * (n % 2)}) for n in range(6)])
    assert numbers(found) == ["0-5"]
    assert found[0]["interpretation"][0]["text"] == "saturated in part"


@pytest.mark.parametrize("pull", [-0.045, -0.02, 0.02, 0.045])
def test_a_sensor_whose_clock_is_off_gives_one_strip_with_its_true_period_and_its_true_end(pull) -> None:
    each_us = round(SECOND * (1 + pull))
    # Node times are within a sample of the truth.
    found = strips([(n * each_us + (n * 7919) % 5000, {}) for n in range(55)])
    assert numbers(found) == ["0-54"]
    data = found[0]["valueSampledData"]
    assert abs(data["period"] - 10 * (1 + pull)) < 0.003
    assert len(data["data"].split()) == 5500
    period = found[0]["effectivePeriod"]
    assert period["start"] == instant(EPOCH_US)
    assert (
        instant(EPOCH_US + 55 * each_us - 20_000) < period["end"] < instant(EPOCH_US + 55 * each_us + 20_000)
    )


def test_a_sensor_that_keeps_its_rate_has_its_nominal_period() -> None:
    (found,) = strips([(n * SECOND + (n * 7919) % 9000, {}) for n in range(20)])
    assert found["valueSampledData"]["period"] == 10


@pytest.mark.parametrize(
    "after",
    [(5 * SECOND, {}), (4 * SECOND, {f.WAVE_MISSED: 3}), (4 * SECOND, {f.WAVE_FLAGS: f.WAVE_OVERFLOWED})],
)
def test_a_missing_frame_or_samples_that_a_frame_says_are_missing_end_a_strip(after) -> None:
    found = strips([*((n * SECOND, {}) for n in range(4)), after, (after[0] + SECOND, {})])
    assert numbers(found) == ["0-3", "4-5"]


def test_no_strip_of_a_slow_sensor_is_longer_than_the_most() -> None:
    each_us = round(SECOND * 1.04)
    found = strips([(n * each_us, {}) for n in range(80)])
    assert len(found) == 2
    assert all(len(one["valueSampledData"]["data"].split()) * 10_400 <= MAX_STRIP_S * SECOND for one in found)
