"""Readings as the characteristics of the standard services, byte by byte."""

from firmware import ble_values as v


def test_numbers_are_as_exact_as_twelve_bits_allow():
    assert v.sfloat(979, -1) == b"\xd3\xf3"
    assert v.sfloat(2045, -1) == b"\xfd\xf7"
    # 204.6: the mantissa would be one of the special values.
    assert v.sfloat(2046, -1) == (205).to_bytes(2, "little")
    assert v.sfloat(123456, -2) == (1235).to_bytes(2, "little")
    assert v.sfloat(0, -1) == b"\xff\x07"


def test_a_heart_rate_comes_with_its_contact_and_intervals():
    assert v.heart_rate_value(724, ()) == b"\x06\x48"
    assert v.heart_rate_value(725, [1000, 500]) == b"\x16\x49\x00\x04\x00\x02"
    assert v.heart_rate_value(2560, ()) == b"\x07\x00\x01"
    # The newest, as many as fit into 20 bytes.
    value = v.heart_rate_value(3000, list(range(100, 112)))
    assert len(value) == 19 and value[-2:] == b"\x72\x00"
    assert v.heart_rate_value(0, [1000]) is None


def test_oximetry_says_what_there_is_and_what_it_is_worth():
    ongoing = (1 << 5).to_bytes(2, "little")
    assert v.oximetry_value(979, 724, 0, False, False) == b"\x04\xd3\xf3\xd4\xf2" + ongoing
    value = v.oximetry_value(0, 724, 123, True, True)
    assert value == b"\x14\xff\x07\xd4\xf2" + (1 << 5 | 1 << 10 | 1 << 14).to_bytes(2, "little") + b"\x7b\xe0"
    assert v.oximetry_value(0, 0, 123, False, False) is None


def test_a_pressure_has_neither_a_mean_nor_a_time():
    assert v.pressure_value(1215, 792) == b"\0\xbf\xf4\x18\xf3\xff\x07"
