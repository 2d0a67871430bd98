# ruff: noqa: F821
"""PPG, sample pair by sample pair, as native machine code: the viper twin of ppg_kernel.py, line for line.

See ecg_kernel_fast.py for what that takes.
"""

import micropython
from micropython import const

INDEX_MASK = const(0x3FFFFFFF)
HOLD = const(26)
FINGER_ON_RUN = const(20)
FINGER_OFF_RUN = const(10)
SHIFT = const(0)
CANDIDATES = const(1)
T = const(2)
FROM = const(3)
FINGER = const(4)
RUN = const(5)
FINGER_AT = const(6)
FINGER_BELOW = const(7)
RED_5 = const(8)
RED_4 = const(9)
RED_DC = const(10)
IR_5 = const(11)
IR_4 = const(12)
IR_DC = const(13)
FALL = const(14)
RISING = const(15)
TOP = const(16)
HELD = const(17)
HELD_AT = const(18)
FOUND = const(19)
FULL = const(21)
RED_PP = const(22)
IR_PP = const(23)
RED_SHIFT = const(24)
IR_SHIFT = const(25)
RED_RED = const(26)
IR_IR = const(27)
RED_IR = const(28)
CURVED = const(29)
RING_RED_5 = const(40)
RING_RED_4 = const(48)
RING_IR_5 = const(56)
RING_IR_4 = const(64)
RING_RED = const(72)
RING_IR = const(200)
RED_AC = const(328)
IR_AC = const(584)
SHAPE = const(840)
REST = const(872)
BENT = const(904)
ALIKE = const(968)
NOISE = const(975)
FULL_SCALE = const(262143)
POINTS = const(32)
BEFORE = const(8)
BEND = const(24)
APART = const(3)
CURVED_N = const(200)


@micropython.viper
def ppg_block(red: ptr32, ir: ptr32, st: ptr32, n: int):
    """The same as ppg_kernel.ppg_block."""
    sh = st[SHIFT]
    t = st[T]
    finger = st[FINGER]
    run = st[RUN]
    on = st[FINGER_AT]
    off = st[FINGER_BELOW]
    r5 = st[RED_5]
    r4 = st[RED_4]
    rdc = st[RED_DC]
    i5 = st[IR_5]
    i4 = st[IR_4]
    idc = st[IR_DC]
    fall = st[FALL] << sh >> sh
    rising = st[RISING]
    top = st[TOP]
    held = st[HELD]
    held_at = st[HELD_AT]
    full = st[FULL]
    r_noise = st[NOISE]
    i_noise = st[NOISE + 1]
    found = 0
    k = st[FROM]
    while k < n:
        x = ir[k]
        if finger == 0:
            t = (t + 1) & INDEX_MASK
            k += 1
            if x < on:
                run = 0
                continue
            run += 1
            if run < FINGER_ON_RUN:
                continue
            finger = 1
            run = 0
            break

        # infrared
        f = 3 * (st[RING_IR_5 + ((t - 2) & 7)] - st[RING_IR_5 + ((t - 1) & 7)])
        f += x - st[RING_IR_5 + ((t - 3) & 7)]
        i_noise += (f if f > 0 else -f) - (i_noise >> 8)
        i5 += x - st[RING_IR_5 + ((t - 5) & 7)]
        st[RING_IR_5 + (t & 7)] = x
        i4 += i5 - st[RING_IR_4 + ((t - 4) & 7)]
        st[RING_IR_4 + (t & 7)] = i5
        low = i4 >> 2
        idc += low - st[RING_IR + (t & 127)]
        st[RING_IR + (t & 127)] = low
        ac = st[RING_IR + ((t - 64) & 127)] - (idc >> 7)
        f = (st[IR_AC + ((t - 6) & 255)] << sh >> sh) - ac
        st[IR_AC + (t & 255)] = ac
        # red
        y = red[k]
        if x >= FULL_SCALE or y >= FULL_SCALE:
            full = (full + 1) & INDEX_MASK
        low = 3 * (st[RING_RED_5 + ((t - 2) & 7)] - st[RING_RED_5 + ((t - 1) & 7)])
        low += y - st[RING_RED_5 + ((t - 3) & 7)]
        r_noise += (low if low > 0 else -low) - (r_noise >> 8)
        r5 += y - st[RING_RED_5 + ((t - 5) & 7)]
        st[RING_RED_5 + (t & 7)] = y
        r4 += r5 - st[RING_RED_4 + ((t - 4) & 7)]
        st[RING_RED_4 + (t & 7)] = r5
        low = r4 >> 2
        rdc += low - st[RING_RED + (t & 127)]
        st[RING_RED + (t & 127)] = low
        st[RED_AC + (t & 255)] = st[RING_RED + ((t - 64) & 127)] - (rdc >> 7)

        # candidates
        if held and ((t - held_at) & INDEX_MASK) > HOLD:
            st[FOUND] = held_at
            st[FOUND + 1] = held
            found = 1
            held = 0
        if f > fall:
            rising = 1
            top = t
        elif f < fall and rising:
            rising = 0
            if fall > held:
                held = fall
                held_at = top
        fall = f
        t = (t + 1) & INDEX_MASK
        k += 1
        if x >= off:
            run = 0
        else:
            run += 1
            if run == FINGER_OFF_RUN:
                finger = 0
                run = 0
                break
        if found:
            break
    st[FROM] = k
    st[CANDIDATES] = found
    st[T] = t
    st[FINGER] = finger
    st[RUN] = run
    st[RED_5] = r5
    st[RED_4] = r4
    st[RED_DC] = rdc
    st[IR_5] = i5
    st[IR_4] = i4
    st[IR_DC] = idc
    st[FALL] = fall
    st[RISING] = rising
    st[TOP] = top
    st[HELD] = held
    st[HELD_AT] = held_at
    st[FULL] = full
    st[NOISE] = r_noise
    st[NOISE + 1] = i_noise


@micropython.viper
def ppg_moments(st: ptr32, start: int, n: int):
    """The same as ppg_kernel.ppg_moments."""
    sh = st[SHIFT]
    r_first = st[RED_AC + (start & 255)] << sh >> sh
    i_first = st[IR_AC + (start & 255)] << sh >> sh
    r_tilt = (((st[RED_AC + ((start + n) & 255)] << sh >> sh) - r_first) << 6) // n
    i_tilt = (((st[IR_AC + ((start + n) & 255)] << sh >> sh) - i_first) << 6) // n
    r_low = 0
    r_high = 0
    i_low = 0
    i_high = 0
    r_sum = 0
    i_sum = 0
    k = 0
    while k < n:
        r = (st[RED_AC + ((start + k) & 255)] << sh >> sh) - r_first - (r_tilt * k >> 6)
        i = (st[IR_AC + ((start + k) & 255)] << sh >> sh) - i_first - (i_tilt * k >> 6)
        r_sum += r
        i_sum += i
        if r < r_low:
            r_low = r
        elif r > r_high:
            r_high = r
        if i < i_low:
            i_low = i
        elif i > i_high:
            i_high = i
        k += 1
    r_first += r_sum // n
    i_first += i_sum // n
    r_shift = 0
    while ((r_high - r_low) >> r_shift) >= 1447:
        r_shift += 1
    i_shift = 0
    while ((i_high - i_low) >> i_shift) >= 1447:
        i_shift += 1
    rr = 0
    ii = 0
    ri = 0
    k = 0
    while k < n:
        r = ((st[RED_AC + ((start + k) & 255)] << sh >> sh) - r_first - (r_tilt * k >> 6)) >> r_shift
        i = ((st[IR_AC + ((start + k) & 255)] << sh >> sh) - i_first - (i_tilt * k >> 6)) >> i_shift
        rr += r * r
        ii += i * i
        ri += r * i
        k += 1
    st[RED_PP] = r_high - r_low
    st[IR_PP] = i_high - i_low
    st[RED_SHIFT] = r_shift
    st[IR_SHIFT] = i_shift
    st[RED_RED] = rr
    st[IR_IR] = ii
    st[RED_IR] = ri


@micropython.viper
def ppg_curved(st: ptr32, lag: int):
    """The same as ppg_kernel.ppg_curved."""
    sh = st[SHIFT]
    at = st[T] - CURVED_N - lag
    r_top = 0
    i_top = 0
    k = 0
    while k < CURVED_N:
        r = (st[RED_AC + ((at - lag) & 255)] << sh >> sh) + (st[RED_AC + ((at + lag) & 255)] << sh >> sh)
        r -= (st[RED_AC + (at & 255)] << sh >> sh) << 1
        i = (st[IR_AC + ((at - lag) & 255)] << sh >> sh) + (st[IR_AC + ((at + lag) & 255)] << sh >> sh)
        i -= (st[IR_AC + (at & 255)] << sh >> sh) << 1
        r_top |= r if r >= 0 else ~r
        i_top |= i if i >= 0 else ~i
        at += 1
        k += 1
    r_shift = 0
    while (r_top >> r_shift) >= 1024:
        r_shift += 1
    i_shift = 0
    while (i_top >> i_shift) >= 1024:
        i_shift += 1
    rr = 0
    ii = 0
    ri = 0
    at -= CURVED_N
    k = 0
    while k < CURVED_N:
        r = (st[RED_AC + ((at - lag) & 255)] << sh >> sh) + (st[RED_AC + ((at + lag) & 255)] << sh >> sh)
        r -= (st[RED_AC + (at & 255)] << sh >> sh) << 1
        i = (st[IR_AC + ((at - lag) & 255)] << sh >> sh) + (st[IR_AC + ((at + lag) & 255)] << sh >> sh)
        i -= (st[IR_AC + (at & 255)] << sh >> sh) << 1
        r >>= r_shift
        i >>= i_shift
        rr += r * r
        ii += i * i
        ri += r * i
        at += 1
        k += 1
    st[CURVED] = rr
    st[CURVED + 1] = ii
    st[CURVED + 2] = ri
    st[CURVED + 3] = r_shift
    st[CURVED + 4] = i_shift


@micropython.viper
def ppg_shape(st: ptr32, start: int, n: int):
    """The same as ppg_kernel.ppg_shape."""
    sh = st[SHIFT]
    start -= BEFORE
    r_low = r_high = r_sum = 0
    i_low = i_high = i_sum = 0
    k = 0
    while k < n:
        at = start + k * APART
        r = (st[RED_AC + ((at - BEND) & 255)] << sh >> sh) + (st[RED_AC + ((at + BEND) & 255)] << sh >> sh)
        r -= (st[RED_AC + (at & 255)] << sh >> sh) << 1
        i = (st[IR_AC + ((at - BEND) & 255)] << sh >> sh) + (st[IR_AC + ((at + BEND) & 255)] << sh >> sh)
        i -= (st[IR_AC + (at & 255)] << sh >> sh) << 1
        st[BENT + k] = r
        st[BENT + POINTS + k] = i
        r_sum += r
        i_sum += i
        if r < r_low:
            r_low = r
        elif r > r_high:
            r_high = r
        if i < i_low:
            i_low = i
        elif i > i_high:
            i_high = i
        k += 1
    r_sum //= n
    i_sum //= n
    r_high -= r_low
    i_high -= i_low
    r_shift = 0
    while (r_high >> r_shift) >= 1447:
        r_shift += 1
    i_shift = 0
    while (i_high >> i_shift) >= 1447:
        i_shift += 1
    r_high = (r_high >> r_shift) + 1
    i_high = (i_high >> i_shift) + 1
    ii = 0
    ri = 0
    k = 0
    while k < n:
        r = (((st[BENT + k] << sh >> sh) - r_sum) >> r_shift) * 1000 // r_high
        i = (((st[BENT + POINTS + k] << sh >> sh) - i_sum) >> i_shift) * 1000 // i_high
        st[BENT + k] = r
        st[BENT + POINTS + k] = i
        ii += i * i
        ri += r * i
        k += 1
    slope = ((ri >> 6) << 10) // ((ii >> 6) + 1)
    follow = 1 if st[ALIKE] else 0
    rr = 0
    ss = 0
    si = 0
    rest = 0
    k = 0
    while k < n:
        r = st[BENT + k] << sh >> sh
        i = st[BENT + POINTS + k] << sh >> sh
        s = st[SHAPE + k] << sh >> sh
        rr += r * r
        ss += s * s
        si += s * i
        st[SHAPE + k] = s + ((i - s) >> follow)
        s = st[REST + k] << sh >> sh
        r -= (slope * i >> 10) + s
        rest += r * r
        st[REST + k] = s + (r >> follow)
        k += 1
    st[ALIKE] = ii
    st[ALIKE + 1] = ss
    st[ALIKE + 2] = si
    st[ALIKE + 3] = rr
    st[ALIKE + 4] = rest
    st[ALIKE + 5] = r_high << r_shift
    st[ALIKE + 6] = i_high << i_shift
