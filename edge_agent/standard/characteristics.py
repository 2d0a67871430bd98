"""What devices of the Heart Rate, Pulse Oximeter and Blood Pressure profiles send (Bluetooth GATT
Specification Supplement: Heart Rate Measurement 0x2A37, PLX Spot-Check 0x2A5E and Continuous Measurement
0x2A5F, Blood Pressure Measurement 0x2A35, Date Time 0x2A08), as plain values.

Numbers are integers in the units of frames (tenths of 1/min, of % and of mmHg; hundredths of % for the pulse
amplitude index), None where the device says that it has none. Malformed: what is shorter than its flags say.
Bytes behind what is known are of a later version of the profile, and left alone.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from edge_agent.standard.sfloat import scaled

# Bits of the PLX measurement status.
ONGOING, EARLY, VALIDATED, QUALIFIED, STORED = 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9
DEMONSTRATION, TESTING, CALIBRATING = 1 << 10, 1 << 11, 1 << 12
UNAVAILABLE, QUESTIONABLE, INVALID = 1 << 13, 1 << 14, 1 << 15
# Bits of the PLX device and sensor status.
SENSOR_UNCONNECTED, SENSOR_DISPLACED, SENSOR_DISCONNECTED = 1 << 11, 1 << 13, 1 << 15
# Bits of the blood pressure measurement status.
BODY_MOVED, CUFF_LOOSE, IRREGULAR, BAD_POSITION = 1 << 0, 1 << 1, 1 << 2, 1 << 5

USER_UNKNOWN = 0xFF
# 1 kPa = 7.500615... mmHg: 133.322387415 Pa each (SI brochure, conventional mmHg).
PA_PER_MMHG_E9 = 133_322_387_415


class Malformed(ValueError):
    """A value that is not of its characteristic; the text says why."""


class HeartRate(NamedTuple):
    """`rate_d`: tenths of 1/min; `contact`: with the skin, None: it cannot tell; `rr_ms`: oldest first."""

    rate_d: int
    contact: bool | None
    rr_ms: tuple[int, ...]


class Oximetry(NamedTuple):
    """`spo2_d`: tenths of %; `rate_d`: tenths of 1/min; `pulse_c`: pulse amplitude index in hundredths of %.
    `at`: the device's local time of a spot check, None where it has none or says one that there is not;
    `stamped`: it says one; `clock_set`: whether that clock was ever set. `status` and `device`: the status
    fields, 0 where there are none.
    """

    spot: bool
    spo2_d: int | None
    rate_d: int | None
    pulse_c: int | None
    at: datetime | None
    clock_set: bool
    status: int
    device: int
    stamped: bool = False


class BloodPressure(NamedTuple):
    """Tenths of mmHg and of 1/min. `user`: the device's index of who it was, None: it does not say; `at`,
    `stamped`: as of Oximetry.
    """

    sys_d: int | None
    dia_d: int | None
    mean_d: int | None
    rate_d: int | None
    at: datetime | None
    user: int | None
    status: int
    stamped: bool = False


class _Reader:
    """Takes fields off little-endian bytes."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._at = data, what, 0

    def uint(self, size: int) -> int:
        """An unsigned number of so many bytes."""
        end = self._at + size
        if end > len(self._data):
            raise Malformed(f"{self._what}: {len(self._data)} bytes, where its flags ask for {end} or more")
        value = int.from_bytes(self._data[self._at : end], "little")
        self._at = end
        return value

    def sfloat(self, decimals: int) -> int | None:
        """An SFLOAT in units of 10^-decimals."""
        return scaled(self.uint(2), decimals)

    def rest(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def date_time(self) -> datetime | None:
        """A Date Time; None where a part of it is not known (0) or is none."""
        year, month, day, hour, minute, second = (self.uint(size) for size in (2, 1, 1, 1, 1, 1))
        try:
            return datetime(year, month, day, hour, minute, second)
        except ValueError:
            return None


def heart_rate(data: bytes) -> HeartRate:
    """Heart Rate Measurement."""
    take = _Reader(data, "heart rate")
    flags = take.uint(1)
    rate = take.uint(2 if flags & 1 else 1)
    if flags & 8:
        take.uint(2)  # energy expended
    rr: list[int] = []
    if flags & 16:
        while take.rest() >= 2:
            rr.append((take.uint(2) * 1000 + 512) // 1024)
    return HeartRate(rate * 10, bool(flags & 2) if flags & 4 else None, tuple(rr))


def plx_spot(data: bytes) -> Oximetry:
    """PLX Spot-Check Measurement."""
    take = _Reader(data, "spot check")
    flags = take.uint(1)
    spo2, rate = take.sfloat(1), take.sfloat(1)
    at = take.date_time() if flags & 1 else None
    status = take.uint(2) if flags & 2 else 0
    device = take.uint(3) if flags & 4 else 0
    pulse = take.sfloat(2) if flags & 8 else None
    return Oximetry(True, spo2, rate, pulse, at, not flags & 16, status, device, bool(flags & 1))


def plx_continuous(data: bytes) -> Oximetry:
    """PLX Continuous Measurement: the normal values; fast and slow averages beside them are left out."""
    take = _Reader(data, "continuous oximetry")
    flags = take.uint(1)
    spo2, rate = take.sfloat(1), take.sfloat(1)
    for bit in (1, 2):
        if flags & bit:
            take.uint(4)
    status = take.uint(2) if flags & 4 else 0
    device = take.uint(3) if flags & 8 else 0
    pulse = take.sfloat(2) if flags & 16 else None
    return Oximetry(False, spo2, rate, pulse, None, True, status, device)


def blood_pressure(data: bytes) -> BloodPressure:
    """Blood Pressure Measurement; kPa become mmHg."""
    take = _Reader(data, "blood pressure")
    flags = take.uint(1)
    read: Callable[[], int | None] = (
        (lambda: _from_kpa(take.uint(2))) if flags & 1 else lambda: take.sfloat(1)
    )
    systolic, diastolic, mean = read(), read(), read()
    at = take.date_time() if flags & 2 else None
    rate = take.sfloat(1) if flags & 4 else None
    user = take.uint(1) if flags & 8 else USER_UNKNOWN
    status = take.uint(2) if flags & 16 else 0
    known = None if user == USER_UNKNOWN else user
    return BloodPressure(systolic, diastolic, mean, rate, at, known, status, bool(flags & 2))


def _from_kpa(raw: int) -> int | None:
    pascal = scaled(raw, 3)
    if pascal is None:
        return None
    whole = (abs(pascal) * 10 * 10**9 * 2 + PA_PER_MMHG_E9) // (2 * PA_PER_MMHG_E9)
    return -whole if pascal < 0 else whole


def clock(data: bytes) -> datetime | None:
    """Date Time; None where it is not set, or none."""
    return _Reader(data, "date time").date_time()


def date_time(at: datetime) -> bytes:
    """A Date Time."""
    return at.year.to_bytes(2, "little") + bytes((at.month, at.day, at.hour, at.minute, at.second))
