"""From the moments of one beat to the ratio of ratios, SpO2, perfusion index and how far both colours agree.

Quotients are counted in 1/4096 (UNIT) and end at QUOTIENT_MAX, just below 32; no intermediate reaches 2**30.
"""

UNIT = 4096
QUOTIENT_MAX = 32 * UNIT - 1


def quotient(a, b):
    """a / b in 1/4096 for 0 <= a, b < 2**29, at most QUOTIENT_MAX; 0 when b is 0."""
    if b == 0:
        return 0
    while a >= 1 << 17:
        a >>= 1
        b >>= 1
    if a >= b << 5:
        return QUOTIENT_MAX
    return min((a << 12) // b, QUOTIENT_MAX)


def product(a, b):
    """The product of two numbers in 1/4096, at most QUOTIENT_MAX."""
    return min(a * (b >> 12) + (a * (b & 4095) >> 12), QUOTIENT_MAX)


def ratio_of_ratios(red_ir, ir_ir, red_shift, ir_shift, red_dc, ir_dc):
    """R = (AC red / DC red) / (AC infrared / DC infrared) in 1/4096; 0 if it cannot be told.

    The AC ratio is the slope of red on infrared over the beat: the sum of products by the sum of squares,
    both below 2**29, of signals that were shifted right by `red_shift` and `ir_shift`.
    """
    if red_ir <= 0:
        return 0
    slope = quotient(red_ir, ir_ir)
    if red_shift >= ir_shift:
        slope = min(slope << min(red_shift - ir_shift, 12), QUOTIENT_MAX)
    else:
        slope >>= ir_shift - red_shift
    return product(slope, quotient(ir_dc, red_dc))


def spo2_x10(ratio):
    """SpO2 in 0.1 %, 0 to 1000, for a ratio of ratios in 1/4096: 110 - 25 R.

    The textbook line (Webster, Design of Pulse Oximeters, 1997, ch. 10), true of no particular sensor.
    """
    return max(0, min(1000, 1100 - (250 * ratio + UNIT // 2) // UNIT))


def agreement(red_red, ir_ir, red_ir):
    """Squared correlation of red and infrared over a beat in percent, 0 if they oppose; sums < 2**29."""
    if red_ir <= 0:
        return 0
    return min(100, product(quotient(red_ir, red_red), quotient(red_ir, ir_ir)) * 100 + UNIT // 2 >> 12)


def perfusion_x100(peak_to_peak, dc):
    """Perfusion index in 0.01 %: infrared pulse height by DC, both below 2**22."""
    return peak_to_peak * 100 // (dc // 100) if dc >= 100 else 0
