"""The table of quantities: codes, where its values are, how they are shown; and its copy in the document."""

import re

import pytest

from protocol import frames, nomenclature
from protocol.frame_rules import BODIES
from tools import quantities

# Written down a second time, from the nomenclature; cuff pressure is MDC_PRESS_CUFF (2::19228).
CODES = {
    "heart_rate_per_min": (147842, ("8867-4",), "/min"),
    "rr_ms": (147240, ("8637-1",), "ms"),
    "spo2_percent": (150456, ("2708-6", "59408-5"), "%"),
    "pulse_per_min": (149530, ("8867-4", "8889-8"), "/min"),
    "perfusion_percent": (150448, ("61006-3",), "%"),
    "ppg_quality_percent": (150320, (), "%"),
    "systolic_mmhg": (150021, ("8480-6",), "mm[Hg]"),
    "diastolic_mmhg": (150022, ("8462-4",), "mm[Hg]"),
    "mean_mmhg": (150023, ("8478-0",), "mm[Hg]"),
    "cuff_pulse_per_min": (149546, ("8867-4",), "/min"),
    "peak_cuff_mmhg": (150300, (), "mm[Hg]"),
    "ecg_mv": (131329, (), "mV"),
    "ppg_red": (150452, (), "1"),
    "ppg_infrared": (150452, (), "1"),
    "cuff_kpa": (150300, (), "kPa"),
    "battery_percent": (67996, (), "%"),
}
WITHOUT_CODES = {"ecg_quality_percent", "confidence_percent"}


def test_codes_and_units() -> None:
    found = {one.name: (one.mdc, one.loinc, one.ucum) for one in nomenclature.QUANTITIES}
    for name in WITHOUT_CODES:
        assert found.pop(name)[:2] == (0, ())
    assert found == CODES
    assert (nomenclature.BP_PANEL_MDC, nomenclature.BP_PANEL_LOINC) == (150020, "85354-9")


def test_loinc_codes_have_their_check_digit() -> None:
    """LOINC appends a mod 10 check digit (LOINC Users' Guide, appendix): a mistyped code does not pass."""
    codes = [code for one in nomenclature.QUANTITIES for code in one.loinc] + [nomenclature.BP_PANEL_LOINC]
    for code in codes:
        digits, check = code.split("-")
        odd = str(2 * int(digits[::-1][::2][::-1]))
        total = sum(map(int, digits[::-1][1::2] + odd))
        assert -total % 10 == int(check), code


def test_numbers_and_names_are_given_once() -> None:
    numbers = [one.number for one in nomenclature.QUANTITIES]
    assert numbers == sorted(set(numbers)) and min(numbers) >= 1
    names = [one.name for one in nomenclature.QUANTITIES]
    places = [(one.kind, one.key, one.channel) for one in nomenclature.QUANTITIES if one.kind]
    assert len(set(names)) == len(names) and len(set(places)) == len(places)


def test_each_is_found_by_number_and_by_its_place() -> None:
    for one in nomenclature.QUANTITIES:
        assert nomenclature.by_number(one.number) is one
        if one.kind:
            assert nomenclature.by_key(one.kind, one.key, one.channel) is one
            assert one.key in BODIES[one.kind]
            assert one in list(nomenclature.of_kind(one.kind))
    assert nomenclature.by_number(99) is None
    assert nomenclature.by_key(frames.KIND_VITALS, frames.VITALS_FLAGS) is None
    assert nomenclature.by_key(frames.KIND_WAVE, frames.WAVE_DATA) is None


def test_every_measured_key_has_a_quantity() -> None:
    """What is no quantity in a frame of readings is a flag, a list of meanings, a name or a time."""
    others = {
        frames.KIND_VITALS: {frames.VITALS_FLAGS, frames.SOURCE, frames.SOURCE_PPG},
        frames.KIND_BP: {
            frames.BP_RESULT,
            frames.BP_BEGAN_US,
            frames.BP_CUFF_SIZE,
            frames.BP_REASON,
            frames.BP_NUMBER,
            frames.BP_COMMAND,
            frames.BP_FLAGS,
            frames.SOURCE,
        },
    }
    for kind, rest in others.items():
        assert {one.key for one in nomenclature.of_kind(kind)} == set(BODIES[kind]) - rest
    channels = {one.channel for one in nomenclature.of_kind(frames.KIND_WAVE)}
    assert channels == {frames.CH_ECG, frames.CH_PPG_RED, frames.CH_PPG_IR, frames.CH_CUFF}


@pytest.mark.parametrize(
    ("number", "value", "shown"),
    [
        (1, 724, "72.4 /min"),
        (1, 0, "0.0 /min"),
        (2, 912, "912 ms"),
        (3, 1000, "100.0 %"),
        (5, 7, "0.07 %"),
        (8, 1274, "127.4 mmHg"),
        (16, -3050, "-0.003050 mV"),
        (17, 62, "62"),
        (99, 5, "5 (quantity 99)"),
    ],
)
def test_text_for_people(number: int, value: int, shown: str) -> None:
    assert nomenclature.text(number, value) == shown


def test_the_document_has_the_table() -> None:
    document = quantities.DOCUMENT.read_text("utf-8")
    assert quantities.written(document) == document, "python -m tools.quantities"
    section = document.partition("## 13. Quantities")[2]
    assert len(re.findall(r"(?m)^\| \d+ \|", section)) == len(nomenclature.QUANTITIES)
    with pytest.raises(ValueError, match="no place"):
        quantities.written(document.replace(quantities.END, ""))
