"""From the moments of one beat to the ratio of ratios, SpO2, perfusion index and how far both colours agree.

Quotients are counted in 1/4096 (UNIT) and end at QUOTIENT_MAX, just below 32; no intermediate reaches 2**30.
"""

UNIT = 4096
QUOTIENT_MAX = 32 * UNIT - 1
PI_STRICT, PI_STRICTEST = 140, 700  # 0.01 %
RATIO_MAX = 5000  # of a calibration table, in 1/1000


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


def without_noise(ratio, apart):
    """A ratio of ratios whose slope noise had flattened. `apart`: 1 - agreement().

    Noise in what the slope is taken on makes it too small by its share of the power. Where both colours have
    the same noise by DC, that share is (1 - r^2) R^2 / (1 + R^2) (errors in variables; Fuller, Measurement
    Error Models, 1987, ch. 1).
    """
    squared = product(ratio, ratio)
    return min(ratio + product(ratio, product(apart, quotient(squared, squared + UNIT))), QUOTIENT_MAX)


def agreement(red_red, ir_ir, red_ir):
    """Squared correlation of red and infrared in 1/4096, 0 if they oppose; sums < 2**29."""
    if red_ir <= 0:
        return 0
    return min(UNIT, product(quotient(red_ir, red_red), quotient(red_ir, ir_ir)))


def bent(ratio, last, before):
    """By how much a ratio of ratios leaves the line through the two before it, squared, in 1/2**20; 0 if one
    of them is 0. Noise counts twice. Such a beat has other shares of what moves and of what pulses.
    """
    if ratio == 0 or last == 0 or before == 0:
        return 0
    bend = min((abs(ratio - 2 * last + before) << 10) // ratio, 8000)
    return bend * bend // 3


def by_height(rest, pi_x100):
    """What colours do not share, in 1/2**20 of the power of a beat so high; of beats above PI_STRICT by the
    power at that height, below 2**24: what moves is higher than what pulses, and may hide it.
    """
    height = max(64, min(pi_x100, PI_STRICTEST) * 64 // PI_STRICT)
    return min(rest, 8000) * (height * height >> 6) >> 6


def spo2_x10(ratio, table=None):
    """SpO2 in 0.1 %, 0 to 1000, for a ratio of ratios in 1/4096.

    `table`: what was measured with this part, points (R in 1/1000, SpO2 in 0.1 %) with R rising; between them
    and beyond the ends the line goes on. Without one 110 - 25 R, the textbook's (Webster, Design of Pulse
    Oximeters, 1997, ch. 10), true of no particular sensor.
    """
    if table is None:
        return max(0, min(1000, 1100 - (250 * ratio + UNIT // 2) // UNIT))
    r = ratio * 1000 + UNIT // 2 >> 12
    k = 1
    while k < len(table) - 1 and r > table[k][0]:
        k += 1
    r0, s0 = table[k - 1]
    r1, s1 = table[k]
    return max(0, min(1000, s0 + (r - r0) * (s1 - s0) // (r1 - r0)))


def check_table(table):
    """`table` as spo2_x10 takes it; ValueError unless R rises and SpO2 falls, in their ranges."""
    before = None
    for r, s in table:
        if not 0 < r <= RATIO_MAX or not 0 <= s <= 1000:
            raise ValueError("calibration out of range")
        if before is not None and (r <= before[0] or s >= before[1]):
            raise ValueError("calibration must fall as R rises")
        before = r, s
    if len(table) < 2:
        raise ValueError("calibration needs two points")
    return table


def perfusion_x100(peak_to_peak, dc):
    """Perfusion index in 0.01 %: infrared pulse height by DC, both below 2**22."""
    return peak_to_peak * 100 // (dc // 100) if dc >= 100 else 0


def led_wanted(led, usual, cap, red, infrared, saturated):
    """The LED register for a finger that reflects `red` and `infrared` counts at the register `led`.

    The brighter colour is kept between a quarter and seven eighths of the 18 bits, in steps of a quarter,
    from a quarter of `usual` to `cap`; at full scale the current is halved.
    """
    brighter = max(red, infrared)
    if saturated:
        led >>= 1
    elif brighter > 229376:
        led -= led >> 2
    elif brighter < 65536:
        led = min(led + (led >> 2) + 1, cap)
    return max(led, usual >> 2)
