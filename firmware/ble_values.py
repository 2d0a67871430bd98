"""What the node measured as the characteristics of the Heart Rate, Pulse Oximeter and Blood Pressure Services
(Bluetooth GATT Specification Supplement: 0x2A37, 0x2A5F, 0x2A35). None: there is nothing to say now.

Numbers are SFLOATs (ISO/IEEE 11073-20601, annex F.8): 12 bits of mantissa, 4 of exponent, of ten.
"""

NAN = 0x07FF
MOST_MANTISSA = 2045

# Heart rate: 16 bits, in contact with the skin (which the node can tell), RR intervals.
HR_16_BITS = 1
HR_CONTACT = 6
HR_RR = 16
# As many as fit into the smallest notification, beside a rate of 16 bits.
MOST_RR = 8

# Oximetry: status, pulse amplitude index. Of the status: ongoing, for demonstration, questionable.
PLX_STATUS = 4
PLX_PULSE_INDEX = 16
ONGOING = 1 << 5
DEMONSTRATION = 1 << 10
QUESTIONABLE = 1 << 14


def sfloat(value, exponent):
    """The two bytes of value · 10^exponent; 0, which no reading is, as not a number."""
    if not value:
        return NAN.to_bytes(2, "little")
    while value > MOST_MANTISSA:
        value = (value + 5) // 10
        exponent += 1
    return ((exponent & 15) << 12 | value).to_bytes(2, "little")


def heart_rate_value(rate_x10, rr_ms):
    """Heart Rate Measurement. `rr_ms`: the intervals that ended since the last one."""
    if not rate_x10:
        return None
    rate = (rate_x10 + 5) // 10
    rr_ms = rr_ms[-MOST_RR:]
    flags = HR_CONTACT | (HR_16_BITS if rate > 255 else 0) | (HR_RR if rr_ms else 0)
    value = bytes((flags,)) + rate.to_bytes(2 if rate > 255 else 1, "little")
    for interval in rr_ms:
        # In 1/1024 s.
        value += min((interval * 128 + 62) // 125, 0xFFFF).to_bytes(2, "little")
    return value


def oximetry_value(spo2_x10, pulse_x10, pi_x100, doubtful, made_up):
    """PLX Continuous Measurement. `doubtful`: not calibrated, or of a bad signal; `made_up`: of no person."""
    if not spo2_x10 and not pulse_x10:
        return None
    flags = PLX_STATUS | (PLX_PULSE_INDEX if pi_x100 else 0)
    status = ONGOING | (QUESTIONABLE if doubtful else 0) | (DEMONSTRATION if made_up else 0)
    value = bytes((flags,)) + sfloat(spo2_x10, -1) + sfloat(pulse_x10, -1) + status.to_bytes(2, "little")
    return value + sfloat(pi_x100, -2) if pi_x100 else value


def pressure_value(systolic_x10, diastolic_x10):
    """Blood Pressure Measurement in mmHg, without the mean, and without a time: the node knows none."""
    return b"\0" + sfloat(systolic_x10, -1) + sfloat(diastolic_x10, -1) + sfloat(0, 0)
