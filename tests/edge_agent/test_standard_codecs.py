"""What off-the-shelf devices send: every field of the specifications, special values, anything."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edge_agent.standard import characteristics as c
from edge_agent.standard import racp, sfloat

WHEN = datetime(2026, 3, 29, 2, 30, 7)


@pytest.mark.parametrize(
    ("raw", "tenths"),
    [
        (0x0072, 1140),
        (0xF072, 114),
        (0xF4B0, 1200),
        (0xE9C4 & 0xF7FF | 0xE000, 45),  # 0x1C4 = 452 hundredths
        (0x0000, 0),
        (0xFFFF, -1),
        (0x1005, 500),
        (0x8001, 0),  # 1e-8
    ],
)
def test_an_sfloat_is_a_whole_number_of_tenths(raw, tenths):
    assert sfloat.scaled(raw, 1) == tenths


@pytest.mark.parametrize("mantissa", sorted(sfloat.SPECIAL))
@pytest.mark.parametrize("exponent", range(16))
def test_a_special_sfloat_is_no_number(mantissa, exponent):
    assert sfloat.scaled(exponent << 12 | mantissa, 1) is None


@given(some.integers(0, 0xFFFF), some.integers(0, 3))
def test_every_sfloat_agrees_with_decimal_arithmetic(raw, decimals):
    mantissa, exponent = raw & 0xFFF, raw >> 12
    if mantissa in sfloat.SPECIAL:
        assert sfloat.scaled(raw, decimals) is None
        return
    mantissa -= 0x1000 if mantissa & 0x800 else 0
    exponent -= 16 if exponent & 8 else 0
    exact = Decimal(mantissa).scaleb(exponent + decimals)
    assert sfloat.scaled(raw, decimals) == int(exact.to_integral_value(ROUND_HALF_UP))


@given(some.integers(-0x7FD, 0x7FD), some.integers(0, 3))
def test_what_fits_an_sfloat_comes_back(value, decimals):
    assert sfloat.scaled(sfloat.encoded(value, decimals), decimals) == value


@given(some.integers(-(10**9), 10**9))
def test_what_does_not_fit_is_near(value):
    back = sfloat.scaled(sfloat.encoded(value, 1), 1)
    assert back is not None and abs(back - value) <= max(abs(value) // 200, 0)


def test_a_number_beyond_every_sfloat_is_refused():
    with pytest.raises(ValueError, match="beyond"):
        sfloat.encoded(10**12, 0)


def test_a_heart_rate_of_eight_bits_with_contact_and_intervals():
    got = c.heart_rate(bytes.fromhex("16 48 00 04 00 03"))
    assert got == c.HeartRate(720, True, (1000, 750))


def test_a_heart_rate_of_sixteen_bits_with_energy_and_without_contact():
    assert c.heart_rate(bytes.fromhex("0d 2c 01 34 12")) == c.HeartRate(3000, False, ())
    assert c.heart_rate(bytes.fromhex("00 50")) == c.HeartRate(800, None, ())


def pressure(flags, *fields):
    return bytes([flags]) + b"".join(fields)


def number(value, decimals=0):
    return sfloat.encoded(value, decimals).to_bytes(2, "little")


def test_a_blood_pressure_with_all_fields():
    got = c.blood_pressure(
        pressure(
            0x1E,
            number(121),
            number(79),
            number(93),
            c.date_time(WHEN),
            number(68),
            b"\x01",
            b"\x05\x00",
        )
    )
    assert got == c.BloodPressure(1210, 790, 930, 680, WHEN, 1, c.BODY_MOVED | c.IRREGULAR, True)


def test_a_blood_pressure_in_kilopascal():
    got = c.blood_pressure(pressure(1, number(160, 1), number(107, 1), number(124, 1)))
    assert (got.sys_d, got.dia_d, got.mean_d) == (1200, 803, 930)
    assert got.at is None and got.user is None and got.rate_d is None


def test_an_unknown_user_and_a_mean_that_is_none():
    nan = sfloat.NAN.to_bytes(2, "little")
    got = c.blood_pressure(pressure(8, number(130), number(85), nan, b"\xff"))
    assert got.mean_d is None and got.user is None


@pytest.mark.parametrize("wrong", ["0000 01 01 00 00 00", "ea07 0d 01 00 00 00", "ea07 02 1e 00 00 00"])
def test_a_time_stamp_that_is_no_time_is_none(wrong):
    got = c.blood_pressure(pressure(2, number(130), number(85), number(99), bytes.fromhex(wrong)))
    assert got.sys_d == 1300 and got.at is None and got.stamped


def test_a_spot_check_with_all_fields():
    got = c.plx_spot(
        bytes([0x1F])
        + number(975, 1)
        + number(61)
        + c.date_time(WHEN)
        + c.QUALIFIED.to_bytes(2, "little")
        + c.SENSOR_DISPLACED.to_bytes(3, "little")
        + number(234, 2)
    )
    assert got == c.Oximetry(True, 975, 610, 234, WHEN, False, c.QUALIFIED, c.SENSOR_DISPLACED, True)


def test_continuous_oximetry_leaves_fast_and_slow_averages_out():
    got = c.plx_continuous(
        bytes([0x1F]) + number(98) + number(70) + number(1) * 4 + b"\x40\0" + b"\0\x08\0" + number(5)
    )
    assert got == c.Oximetry(False, 980, 700, 500, None, True, c.EARLY, c.SENSOR_UNCONNECTED)


@pytest.mark.parametrize("read", [c.heart_rate, c.plx_spot, c.plx_continuous, c.blood_pressure])
@given(some.binary(max_size=40))
def test_whatever_comes_is_read_or_refused(read, data):
    try:
        read(data)
    except c.Malformed as e:
        assert "bytes" in str(e)


@pytest.mark.parametrize(
    ("read", "whole"),
    [
        (c.heart_rate, bytes.fromhex("09 2c 01 34 12")),
        (c.plx_spot, bytes([0x1F]) + bytes(4 + 7 + 2 + 3 + 2)),
        (c.plx_continuous, bytes([0x1F]) + bytes(4 + 8 + 2 + 3 + 2)),
        (c.blood_pressure, bytes([0x1E]) + bytes(6 + 7 + 2 + 1 + 2)),
    ],
)
def test_each_byte_that_the_flags_ask_for_has_to_be_there(read, whole):
    read(whole)
    read(whole + b"later")
    for size in range(len(whole)):
        with pytest.raises(c.Malformed):
            read(whole[:size])


def test_answers_of_the_control_point():
    assert racp.answer(bytes.fromhex("05 00 07 00")) == racp.Answer(7, racp.COUNT, racp.SUCCESS)
    done = racp.answer(bytes.fromhex("06 00 01 01"))
    none = racp.answer(bytes.fromhex("06 00 01 06"))
    failed = racp.answer(bytes.fromhex("06 00 01 08"))
    assert done is not None and none is not None and failed is not None
    assert done.done and none.done and not failed.done
    assert failed.meaning == "not completed" and racp.answer(b"\x06\x00") is None and racp.answer(b"") is None
