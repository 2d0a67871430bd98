"""PPG, sample pair by sample pair: band signals of red and infrared, upstrokes, and the moments of one beat.

Both colours (100 a second, 18 bits) pass the same symmetric filters, so whatever these do to the shape of the
pulse cancels in the ratio of ratios:
    5- and 4-point boxcars (low-pass 7.5 Hz; nulls at 20, 25, 40 and 50 Hz), in units of 1/5 count
    minus a 128-point mean around it (high-pass 0.6 Hz): the AC; the mean itself is the DC

The infrared AC falls steeply when the pulse arrives. A maximum of that fall over 60 ms which nothing exceeds
for HOLD samples is a candidate. 1.4 s after a disturbance nothing of it is left. From each beat its own trend
is taken: what breathing moves is not a pulse. What moves otherwise is told by ppg_curved and ppg_shape.
A finger is there while the infrared stays at or above a threshold. A block is left early behind a candidate
(the beat is then still in the AC rings, whatever the size of the block) and when the finger comes or goes.
All state lives in one array, so that the viper twin (ppg_kernel_fast.py) can be this code line for line: the
test-suite compares them. Every intermediate stays below 2**30.
"""

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

INDEX_MASK = const(0x3FFFFFFF)  # as in ecg_kernel
BLOCK_MAX = const(64)
HOLD = const(26)  # 260 ms: pulses up to 220 a minute
BEAT_MAX = const(185)  # samples of a beat that the AC rings still hold when the next one is found
FINGER_ON_RUN = const(20)  # 200 ms
FINGER_OFF_RUN = const(10)
# layout of the state array
SHIFT = const(0)  # word bits - 32: sign-extends what a 64-bit viper reads (used by the twin only)
CANDIDATES = const(1)  # 1 if the block was left behind a candidate
T = const(2)  # index of the next sample pair
FROM = const(3)  # in: where in the block to begin; out: the first pair not yet used
FINGER = const(4)
RUN = const(5)  # samples in a row on the other side of the threshold
FINGER_AT = const(6)  # threshold on
FINGER_BELOW = const(7)  # threshold off
RED_5 = const(8)
RED_4 = const(9)
RED_DC = const(10)  # sum of 128
IR_5 = const(11)
IR_4 = const(12)
IR_DC = const(13)
FALL = const(14)
RISING = const(15)
TOP = const(16)
HELD = const(17)
HELD_AT = const(18)
FOUND = const(19)  # the candidate: index, slope
FULL = const(21)  # how many samples of either colour were at full scale, modulo INDEX_MASK + 1
RED_PP = const(22)  # moments: peak to peak, right shift, sums of squares and products
IR_PP = const(23)
RED_SHIFT = const(24)
IR_SHIFT = const(25)
RED_RED = const(26)
IR_IR = const(27)
RED_IR = const(28)
CURVED = const(29)  # of what bends: sums of squares and products, shifts
RING_RED_5 = const(40)
RING_RED_4 = const(48)
RING_IR_5 = const(56)
RING_IR_4 = const(64)
RING_RED = const(72)
RING_IR = const(200)
RED_AC = const(328)
IR_AC = const(584)
SHAPE = const(840)  # the usual beat
REST = const(872)  # what red usually does not share of it
BENT = const(904)  # the beat itself
ALIKE = const(968)  # of ppg_shape: sums of squares and products, red's, of what is new in its rest; spans
NOISE = const(975)  # of red and infrared: mean third difference, times 256
STATE_SIZE = const(977)
FULL_SCALE = const(262143)
POINTS = const(32)  # of a shape
BEFORE = const(8)  # samples of it before the upstroke
BEND = const(24)
APART = const(3)
CURVED_N = const(200)
LAG_MAX = const(27)  # what the AC rings hold beyond CURVED_N


def prime(st, red, ir):
    """Put the filters into the steady state of constant inputs; sample index and finger state are kept."""
    for i in range(RED_5, STATE_SIZE):
        st[i] = 0
    for x, sums, ring5, ring4, ring in (
        (red, RED_5, RING_RED_5, RING_RED_4, RING_RED),
        (ir, IR_5, RING_IR_5, RING_IR_4, RING_IR),
    ):
        low = 5 * x
        st[sums] = 5 * x
        st[sums + 1] = 20 * x
        st[sums + 2] = 128 * low
        for i in range(8):
            st[ring5 + i] = x
            st[ring4 + i] = 5 * x
        for i in range(128):
            st[ring + i] = low


def ppg_block(red, ir, st, n):
    """Filter the pairs FROM..n-1 of a block of `n` <= BLOCK_MAX; stop behind a candidate."""
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
    fall = st[FALL]
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
        f = st[IR_AC + ((t - 6) & 255)] - ac
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


def ppg_moments(st, start, n):
    """Peak to peak of both AC signals over 0 < `n` <= BEAT_MAX pairs from index `start`, and their second
    moments.

    Each is freed from the line between its ends and from its mean, and shifted right until it spans less than
    1447: the sums stay below 2**29.
    """
    r_first = st[RED_AC + (start & 255)]
    i_first = st[IR_AC + (start & 255)]
    r_tilt = ((st[RED_AC + ((start + n) & 255)] - r_first) << 6) // n
    i_tilt = ((st[IR_AC + ((start + n) & 255)] - i_first) << 6) // n
    r_low = 0
    r_high = 0
    i_low = 0
    i_high = 0
    r_sum = 0
    i_sum = 0
    k = 0
    while k < n:
        r = st[RED_AC + ((start + k) & 255)] - r_first - (r_tilt * k >> 6)
        i = st[IR_AC + ((start + k) & 255)] - i_first - (i_tilt * k >> 6)
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
        r = (st[RED_AC + ((start + k) & 255)] - r_first - (r_tilt * k >> 6)) >> r_shift
        i = (st[IR_AC + ((start + k) & 255)] - i_first - (i_tilt * k >> 6)) >> i_shift
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


def ppg_curved(st, lag):
    """Second moments of what bends in both AC signals over the last CURVED_N pairs, beats or not: their
    second differences over 0 < `lag` <= LAG_MAX. One of 22 leaves breathing; one of 6 weighs the upstrokes.
    """
    at = st[T] - CURVED_N - lag
    r_top = 0
    i_top = 0
    k = 0
    while k < CURVED_N:
        r = st[RED_AC + ((at - lag) & 255)] + st[RED_AC + ((at + lag) & 255)]
        r -= st[RED_AC + (at & 255)] << 1
        i = st[IR_AC + ((at - lag) & 255)] + st[IR_AC + ((at + lag) & 255)]
        i -= st[IR_AC + (at & 255)] << 1
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
        r = st[RED_AC + ((at - lag) & 255)] + st[RED_AC + ((at + lag) & 255)]
        r -= st[RED_AC + (at & 255)] << 1
        i = st[IR_AC + ((at - lag) & 255)] + st[IR_AC + ((at + lag) & 255)]
        i -= st[IR_AC + (at & 255)] << 1
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


def ppg_shape(st, start, n):
    """Compare a beat with those before it: from BEFORE pairs before index `start` on, how infrared bends with
    how it usually does, and what red does not share of that with what it usually does not.
    Taken are 0 < `n` <= POINTS second differences over BEND samples (which leaves breathing), APART samples
    apart, stretched to a span of 1000: the sums stay below 2**28. What is usual follows by half.
    """
    start -= BEFORE
    r_low = r_high = r_sum = 0
    i_low = i_high = i_sum = 0
    k = 0
    while k < n:
        at = start + k * APART
        r = st[RED_AC + ((at - BEND) & 255)] + st[RED_AC + ((at + BEND) & 255)]
        r -= st[RED_AC + (at & 255)] << 1
        i = st[IR_AC + ((at - BEND) & 255)] + st[IR_AC + ((at + BEND) & 255)]
        i -= st[IR_AC + (at & 255)] << 1
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
        r = ((st[BENT + k] - r_sum) >> r_shift) * 1000 // r_high
        i = ((st[BENT + POINTS + k] - i_sum) >> i_shift) * 1000 // i_high
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
        r = st[BENT + k]
        i = st[BENT + POINTS + k]
        s = st[SHAPE + k]
        rr += r * r
        ss += s * s
        si += s * i
        st[SHAPE + k] = s + ((i - s) >> follow)
        s = st[REST + k]
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
