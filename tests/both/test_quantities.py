"""Quantities, on both interpreters: found by number and by place, shown for people."""

from protocol import frames, nomenclature


def test_values_for_people():
    for number, value, shown in (
        (1, 724, "72.4 /min"),
        (3, 5, "0.5 %"),
        (5, 210, "2.10 %"),
        (8, 1274, "127.4 mmHg"),
        (16, -1, "-0.000001 mV"),
        (24, 80, "80 %"),
        (4711, 8, "8 (quantity 4711)"),
    ):
        assert nomenclature.text(number, value) == shown


def test_found_by_their_place_in_a_frame():
    assert nomenclature.by_key(frames.KIND_BP, frames.BP_SYSTOLIC).name == "systolic_mmhg"
    assert nomenclature.by_key(frames.KIND_WAVE, frames.WAVE_DATA, frames.CH_CUFF).ucum == "kPa"
    assert nomenclature.by_key(frames.KIND_STATUS, frames.STATUS_LATE) is None
    assert [one.number for one in nomenclature.of_kind(frames.KIND_BP)] == [8, 9, 10, 11, 12, 13]
