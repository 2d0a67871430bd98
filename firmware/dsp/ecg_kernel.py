"""ECG, sample by sample: display filters and the QRS feature signal, in integers that stay below 2**30.

Theory of operation
-------------------
Two paths leave the raw sample x (250 a second, 16 bits):

display    high-pass 0.5 Hz (one pole) -> notch 50 or 60 Hz (biquad) -> low-pass 40 Hz (biquad) -> ``out``
detection  spikes out (below) -> 9- and 5-point boxcars (low-pass; nulls at 50 Hz) -> minus a 33-point mean
           (high-pass): the band signal, delayed by exactly BAND_DELAY samples -> difference over 3 ->
           magnitude -> 30-point (120 ms) sum: the energy. Beside it the sharpness: 4-point boxcar -> second
           difference over 4 (15-45 Hz) -> magnitude -> the same sum.

A sample that stands off the chord of its neighbours 8 ms away by more than the state's SPIKE / 2 is a
pacing spike: the sample before it is held from 12 ms before to 20 ms after. What is left of smaller ones is
trimmed to within SPIKE / 32 of the median of seven samples; a QRS of 40 ms passes both.

A local maximum of the energy is worth that energy, but at most a quarter of it and six times the sharpness:
electrode motion has little sharpness, muscle little energy, a QRS has both. One which nothing exceeds for
HOLD samples is a *candidate*: it is reported HOLD samples later with the raw-sample index of the band
signal's extreme under it (the fiducial, an R or S peak), its worth and its steepest slope. Which candidates
are beats is decided in qrs.py. The structure is that of Pan & Tompkins (IEEE Trans. Biomed. Eng. 32:230,
1985) and Hamilton & Tompkins (33:1158, 1986) with symmetric FIR filters.

The detection path is exact integer arithmetic of finite memory; the biquads keep their rounding remainder and
add it to the next sample, so they neither drift nor stick. All state lives in one array, so that the viper
twin (ecg_kernel_fast.py) can be this code line for line: change both, the test-suite compares them.
"""

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

INDEX_MASK = const(0x3FFFFFFF)  # sample indices wrap here: 49 days, and a small integer on a 32-bit port
BLOCK_MAX = const(64)  # samples a call
HOLD = const(60)  # 240 ms: beats up to 250 a minute, and a P wave never counts beside its QRS
BAND_DELAY = const(30)  # 5 + (7 - 1)/2 for spikes, (9 - 1)/2 + (5 - 1)/2 + (33 - 1)/2 samples

# layout of the state array
SHIFT = const(0)  # word bits - 32: sign-extends what a 64-bit viper reads (used by the twin only)
CANDIDATES = const(1)  # candidates found in this block
T = const(2)  # index of the next sample
NOTCH = const(3)  # b0 (= b2), b1, -a1, -a2 in 1/8192
HP_ACC = const(7)  # baseline in 1/4096 LSB
NOTCH_STATE = const(8)  # x1, x2, y1, y2, remainder
LP_STATE = const(13)
SUM9 = const(18)
SUM5 = const(19)
SUM33 = const(20)
ENERGY = const(21)
RISING = const(22)
TOP = const(23)  # index of the latest local maximum's first sample
HELD = const(24)  # energy of the candidate being held, 0 = none
HELD_AT = const(25)
FOUND = const(26)  # candidates: fiducial index, energy, slope; at most two in 64 samples
SPIKE = const(32)  # twice the height above the chord that makes a spike, in LSB
LAST = const(33)  # the sample that is held in a spike's place
HELD_FOR = const(34)
SUM4 = const(35)
SHARP = const(36)
SPIKED = const(37)  # samples that were held since somebody set it to 0
RING_RAW = const(40)
RING7 = const(48)
SORTED7 = const(56)
RING4 = const(64)
RING9 = const(80)
RING5 = const(96)
RING33 = const(104)
RING_ENERGY = const(168)
RING_SHARP = const(200)
RING_BAND = const(264)
STATE_SIZE = const(392)


def prime(st, x):
    """Put the filters into the steady state of a constant input `x`; index, notch and SPIKE are kept."""
    spike = st[SPIKE]
    for i in range(HP_ACC, STATE_SIZE):
        st[i] = 0
    st[SPIKE] = spike
    st[LAST] = x
    st[SUM4] = 4 * x
    st[HP_ACC] = x << 12
    st[SUM9] = 9 * x
    st[SUM5] = 45 * x
    st[SUM33] = 33 * 45 * x
    for i in range(24):
        st[RING_RAW + i] = x  # and RING7, SORTED7
    for i in range(16):
        st[RING4 + i] = 4 * x
        st[RING9 + i] = x
    for i in range(8):
        st[RING5 + i] = 9 * x
    for i in range(64):
        st[RING33 + i] = 45 * x


def ecg_block(samples, st, out, n):
    """Filter `n` <= BLOCK_MAX raw samples into `out`, leave the candidates in `st`; all are array('i')."""
    t = st[T]
    nb0 = st[NOTCH]
    nb1 = st[NOTCH + 1]
    na1 = st[NOTCH + 2]
    na2 = st[NOTCH + 3]
    acc = st[HP_ACC]
    nx1 = st[NOTCH_STATE]
    nx2 = st[NOTCH_STATE + 1]
    ny1 = st[NOTCH_STATE + 2]
    ny2 = st[NOTCH_STATE + 3]
    nrem = st[NOTCH_STATE + 4]
    lx1 = st[LP_STATE]
    lx2 = st[LP_STATE + 1]
    ly1 = st[LP_STATE + 2]
    ly2 = st[LP_STATE + 3]
    lrem = st[LP_STATE + 4]
    s9 = st[SUM9]
    s5 = st[SUM5]
    s33 = st[SUM33]
    energy = st[ENERGY]
    last = st[LAST]
    held_for = st[HELD_FOR]
    s4 = st[SUM4]
    sharp = st[SHARP]
    spike = st[SPIKE]
    spiked = st[SPIKED]
    rising = st[RISING]
    top = st[TOP]
    held = st[HELD]
    held_at = st[HELD_AT]
    found = 0
    k = 0
    while k < n:
        x = samples[k]

        # display: high-pass, 818/65536 a sample = 0.5 Hz; limited to +-16383 (50 mV) so that the biquads fit
        y = x - ((acc + 2048) >> 12)
        acc += (y * 818) >> 4
        if y > 16383:
            y = 16383
        elif y < -16383:
            y = -16383
        # notch
        s = nb0 * (y + nx2) + nb1 * nx1 + na1 * ny1 + na2 * ny2 + nrem
        nx2 = nx1
        nx1 = y
        ny2 = ny1
        ny1 = s >> 13
        nrem = s & 8191
        # low-pass: Butterworth, 40 Hz
        s = 1190 * (ny1 + lx2) + 2382 * lx1 + 5497 * ly1 - 2067 * ly2 + lrem
        lx2 = lx1
        lx1 = ny1
        ly2 = ly1
        ly1 = s >> 13
        lrem = s & 8191
        out[k] = ly1

        # detection: spikes
        st[RING_RAW + (t & 7)] = x
        d = 2 * st[RING_RAW + ((t - 2) & 7)] - st[RING_RAW + ((t - 4) & 7)] - x
        if d > spike or d < -spike:
            held_for = 9
        if held_for:
            held_for -= 1
            spiked += 1
        else:
            last = st[RING_RAW + ((t - 5) & 7)]
        # the median of seven, kept in order: the oldest goes, the newest comes
        v = st[RING7 + ((t - 7) & 7)]
        st[RING7 + (t & 7)] = last
        j = SORTED7
        while st[j] != v:
            j += 1
        while j < SORTED7 + 6 and st[j + 1] < last:
            st[j] = st[j + 1]
            j += 1
        while j > SORTED7 and st[j - 1] > last:
            st[j] = st[j - 1]
            j -= 1
        st[j] = last
        v = st[SORTED7 + 3]
        x = st[RING7 + ((t - 3) & 7)]
        if x - v > spike >> 5:
            x = v + (spike >> 5)
        elif v - x > spike >> 5:
            x = v - (spike >> 5)
        # band signal
        s9 += x - st[RING9 + ((t - 9) & 15)]
        st[RING9 + (t & 15)] = x
        s5 += s9 - st[RING5 + ((t - 5) & 7)]
        st[RING5 + (t & 7)] = s9
        s33 += s5 - st[RING33 + ((t - 33) & 63)]
        st[RING33 + (t & 63)] = s5
        band = 33 * st[RING33 + ((t - 16) & 63)] - s33
        st[RING_BAND + (t & 127)] = band
        # energy
        d = band - st[RING_BAND + ((t - 3) & 127)]
        if d < 0:
            d = -d
        d >>= 4
        e = energy + d - st[RING_ENERGY + ((t - 30) & 31)]
        st[RING_ENERGY + (t & 31)] = d
        # sharpness, 17 samples later: as late as the band signal
        s4 += x - st[RING9 + ((t - 4) & 15)]
        d = s4 - 2 * st[RING4 + ((t - 4) & 15)] + st[RING4 + ((t - 8) & 15)]
        st[RING4 + (t & 15)] = s4
        if d < 0:
            d = -d
        most = 6 * sharp + (energy >> 2)
        sharp += st[RING_SHARP + ((t - 17) & 63)] - st[RING_SHARP + ((t - 47) & 63)]
        st[RING_SHARP + (t & 63)] = d

        # candidates
        if held and ((t - held_at) & INDEX_MASK) > HOLD:
            extreme = 0
            steepest = 0
            at = 0
            j = held_at - 32
            while j <= held_at:
                v = st[RING_BAND + (j & 127)]
                d = v - st[RING_BAND + ((j - 3) & 127)]
                if v < 0:
                    v = -v
                if d < 0:
                    d = -d
                # A second deflection must be clearly the greater one.
                if v > extreme and (j == at + 1 or v - (v >> 3) > extreme):
                    extreme = v
                    at = j
                if d > steepest:
                    steepest = d
                j += 1
            st[FOUND + 3 * found] = (at - BAND_DELAY) & INDEX_MASK
            st[FOUND + 3 * found + 1] = held
            st[FOUND + 3 * found + 2] = steepest
            found += 1
            held = 0
        if e > energy:
            rising = 1
            top = t
        elif e < energy and rising:
            rising = 0
            if energy > most:
                energy = most
            if energy > held:
                held = energy
                held_at = top
        energy = e
        t = (t + 1) & INDEX_MASK
        k += 1
    st[CANDIDATES] = found
    st[T] = t
    st[HP_ACC] = acc
    st[NOTCH_STATE] = nx1
    st[NOTCH_STATE + 1] = nx2
    st[NOTCH_STATE + 2] = ny1
    st[NOTCH_STATE + 3] = ny2
    st[NOTCH_STATE + 4] = nrem
    st[LP_STATE] = lx1
    st[LP_STATE + 1] = lx2
    st[LP_STATE + 2] = ly1
    st[LP_STATE + 3] = ly2
    st[LP_STATE + 4] = lrem
    st[SUM9] = s9
    st[SUM5] = s5
    st[SUM33] = s33
    st[ENERGY] = energy
    st[LAST] = last
    st[HELD_FOR] = held_for
    st[SUM4] = s4
    st[SHARP] = sharp
    st[SPIKED] = spiked
    st[RISING] = rising
    st[TOP] = top
    st[HELD] = held
    st[HELD_AT] = held_at
