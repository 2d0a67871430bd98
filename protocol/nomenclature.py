"""Every quantity on the wire: its number, where it is, its scale and range, its unit in UCUM, and its codes.

One table for whoever shows a value, stores it or passes it on. MDC codes (ISO/IEEE 11073-10101; as
context-free 32-bit codes: partition · 2^16 + code; urn:iso:std:iso:11073:10101) and LOINC codes (loinc.org)
say what it is to other systems. Runs on both interpreters; a node never loads it.
"""

from protocol import frames as f

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Row = tuple[int, str, str, int, int, int, int, str, int, tuple[str, ...], "int | None", "int | None"]

ANY = -1
"""In the place of a channel: the value is not that of a waveform."""

BP_PANEL_MDC = 150020
BP_PANEL_LOINC = "85354-9"
"""Under which systolic, diastolic and mean pressure of one measurement belong together."""


class Quantity:
    """One row of the table.

    number: on the wire (manual entries, §11.1), never given out twice. name: for machines, with the unit.
    what: for people. kind, key: the frame and the key of its body; 0 where no frame holds it. channel: of a
    waveform (ANY otherwise), whose samples count in units of its LSB. exponent: a value on the wire times
    10^exponent is in the unit. ucum, mdc, loinc: unit and codes for others (mdc 0, loinc (): there is none);
    unit: for people. least, most: of the value on the wire, or None (a waveform: what its samples can hold).
    """

    def __init__(self, row: "Row"):
        self.number, self.name, self.what = row[0], row[1], row[2]
        self.kind, self.key, self.channel = row[3], row[4], row[5]
        self.exponent, self.ucum, self.mdc, self.loinc = row[6], row[7], row[8], row[9]
        self.unit = _SHOWN.get(self.ucum, self.ucum)
        self.least: "int | None" = row[10]
        self.most: "int | None" = row[11]


_SHOWN = {"mm[Hg]": "mmHg", "1": ""}
_U = 0xFFFF
_P = 4000
_V = f.KIND_VITALS
_B = f.KIND_BP
_W = f.KIND_WAVE
_DATA = f.WAVE_DATA
_HR = ("8867-4",)
_PULSE = ("8867-4", "8889-8")
_SPO2 = ("2708-6", "59408-5")

# number, name, what, kind, key, channel, exponent, UCUM, MDC, LOINC, least, most
_ROWS: "tuple[Row, ...]" = (
    (1, "heart_rate_per_min", "heart rate (ECG)", _V, 1, ANY, -1, "/min", 147842, _HR, 0, _U),
    (2, "rr_ms", "RR interval", _V, 2, ANY, 0, "ms", 147240, ("8637-1",), 1, _U),
    (3, "spo2_percent", "SpO2", _V, 3, ANY, -1, "%", 150456, _SPO2, 0, 1000),
    (4, "pulse_per_min", "pulse rate (oximeter)", _V, 4, ANY, -1, "/min", 149530, _PULSE, 0, _U),
    (5, "perfusion_percent", "perfusion index", _V, 5, ANY, -2, "%", 150448, ("61006-3",), 0, _U),
    (6, "ecg_quality_percent", "ECG quality", _V, 6, ANY, 0, "%", 0, (), 0, 100),
    (7, "ppg_quality_percent", "SpO2 signal quality", _V, 7, ANY, 0, "%", 150320, (), 0, 100),
    (8, "systolic_mmhg", "systolic pressure", _B, 2, ANY, -1, "mm[Hg]", 150021, ("8480-6",), 0, _P),
    (9, "diastolic_mmhg", "diastolic pressure", _B, 3, ANY, -1, "mm[Hg]", 150022, ("8462-4",), 0, _P),
    (10, "mean_mmhg", "mean arterial pressure", _B, 4, ANY, -1, "mm[Hg]", 150023, ("8478-0",), 0, _P),
    (11, "cuff_pulse_per_min", "pulse rate (cuff)", _B, 5, ANY, -1, "/min", 149546, _HR, 0, _U),
    (12, "confidence_percent", "confidence of the measurement", _B, 6, ANY, 0, "%", 0, (), 0, 100),
    (13, "peak_cuff_mmhg", "highest cuff pressure", _B, 8, ANY, -1, "mm[Hg]", 150300, (), 0, _P),
    (16, "ecg_mv", "ECG lead I", _W, _DATA, f.CH_ECG, -6, "mV", 131329, (), None, None),
    (17, "ppg_red", "pleth wave, red", _W, _DATA, f.CH_PPG_RED, 0, "1", 150452, (), None, None),
    (18, "ppg_infrared", "pleth wave, infrared", _W, _DATA, f.CH_PPG_IR, 0, "1", 150452, (), None, None),
    (19, "cuff_kpa", "cuff pressure", _W, _DATA, f.CH_CUFF, -3, "kPa", 150300, (), None, None),
    (24, "battery_percent", "battery", f.KIND_STATUS, f.STATUS_BATTERY, ANY, 0, "%", 67996, (), 0, 100),
)

QUANTITIES: "tuple[Quantity, ...]" = tuple([Quantity(row) for row in _ROWS])
"""By ascending number."""


def by_number(number: int) -> "Quantity | None":
    """The quantity with this number; None for one that this version does not know."""
    for quantity in QUANTITIES:
        if quantity.number == number:
            return quantity
    return None


def by_key(kind: int, key: int, channel: int = ANY) -> "Quantity | None":
    """The quantity under a key of a frame's body (of a wave: the data, with its channel); None when the key
    holds none."""
    for quantity in QUANTITIES:
        if (quantity.kind, quantity.key, quantity.channel) == (kind, key, channel):
            return quantity
    return None


def of_kind(kind: int) -> "Iterator[Quantity]":
    """The quantities that a kind of frame may hold."""
    for quantity in QUANTITIES:
        if quantity.kind == kind:
            yield quantity


def text(number: int, value: int) -> str:
    """A value on the wire for people, with as many decimals as it has: text(1, 724) is "72.4 /min".

    A quantity that is not known is shown as it is: "724 (quantity 99)".
    """
    quantity = by_number(number)
    if quantity is None:
        return "%d (quantity %d)" % (value, number)
    digits = str(abs(value))
    places = -quantity.exponent
    if places:
        digits = "0" * (places + 1 - len(digits)) + digits
        digits = digits[:-places] + "." + digits[-places:]
    sign = "-" if value < 0 else ""
    return (sign + digits + " " + quantity.unit).rstrip()
