# ruff: noqa: F821
"""ECG, sample by sample, as native machine code: the viper twin of ecg_kernel.py, line for line.

The compiler must know the layout at compile time, so it is repeated here; the tests compare it and every
result. Viper's ptr32 zero-extends on a 64-bit port: what may be negative is read as ``x << sh >> sh``, and
`sh` is 0 on 32 bits. Ports without a native emitter refuse this file with SyntaxError: kernels.py then takes
the pure twin.
"""

import micropython
from micropython import const

INDEX_MASK = const(0x3FFFFFFF)
HOLD = const(60)
BAND_DELAY = const(30)
SHIFT = const(0)
CANDIDATES = const(1)
T = const(2)
NOTCH = const(3)
HP_ACC = const(7)
NOTCH_STATE = const(8)
LP_STATE = const(13)
SUM9 = const(18)
SUM5 = const(19)
SUM33 = const(20)
ENERGY = const(21)
RISING = const(22)
TOP = const(23)
HELD = const(24)
HELD_AT = const(25)
FOUND = const(26)
SPIKE = const(32)
LAST = const(33)
HELD_FOR = const(34)
SUM4 = const(35)
SHARP = const(36)
SPIKED = const(37)
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


@micropython.viper
def ecg_block(samples: ptr32, st: ptr32, out: ptr32, n: int):
    """The same as ecg_kernel.ecg_block."""
    sh = st[SHIFT]
    t = st[T]
    nb0 = st[NOTCH] << sh >> sh
    nb1 = st[NOTCH + 1] << sh >> sh
    na1 = st[NOTCH + 2] << sh >> sh
    na2 = st[NOTCH + 3] << sh >> sh
    acc = st[HP_ACC] << sh >> sh
    nx1 = st[NOTCH_STATE] << sh >> sh
    nx2 = st[NOTCH_STATE + 1] << sh >> sh
    ny1 = st[NOTCH_STATE + 2] << sh >> sh
    ny2 = st[NOTCH_STATE + 3] << sh >> sh
    nrem = st[NOTCH_STATE + 4] << sh >> sh
    lx1 = st[LP_STATE] << sh >> sh
    lx2 = st[LP_STATE + 1] << sh >> sh
    ly1 = st[LP_STATE + 2] << sh >> sh
    ly2 = st[LP_STATE + 3] << sh >> sh
    lrem = st[LP_STATE + 4] << sh >> sh
    s9 = st[SUM9] << sh >> sh
    s5 = st[SUM5] << sh >> sh
    s33 = st[SUM33] << sh >> sh
    energy = st[ENERGY]
    last = st[LAST] << sh >> sh
    held_for = st[HELD_FOR]
    s4 = st[SUM4] << sh >> sh
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
        x = samples[k] << sh >> sh

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
        d = 2 * (st[RING_RAW + ((t - 2) & 7)] << sh >> sh) - (st[RING_RAW + ((t - 4) & 7)] << sh >> sh) - x
        if d > spike or d < 0 - spike:
            held_for = 9
        if held_for:
            held_for -= 1
            spiked += 1
        else:
            last = st[RING_RAW + ((t - 5) & 7)] << sh >> sh
        # the median of seven, kept in order: the oldest goes, the newest comes
        v = st[RING7 + ((t - 7) & 7)] << sh >> sh
        st[RING7 + (t & 7)] = last
        j = SORTED7
        while (st[j] << sh >> sh) != v:
            j += 1
        while j < SORTED7 + 6 and (st[j + 1] << sh >> sh) < last:
            st[j] = st[j + 1]
            j += 1
        while j > SORTED7 and (st[j - 1] << sh >> sh) > last:
            st[j] = st[j - 1]
            j -= 1
        st[j] = last
        v = st[SORTED7 + 3] << sh >> sh
        x = st[RING7 + ((t - 3) & 7)] << sh >> sh
        if x - v > spike >> 5:
            x = v + (spike >> 5)
        elif v - x > spike >> 5:
            x = v - (spike >> 5)
        # band signal
        s9 += x - (st[RING9 + ((t - 9) & 15)] << sh >> sh)
        st[RING9 + (t & 15)] = x
        s5 += s9 - (st[RING5 + ((t - 5) & 7)] << sh >> sh)
        st[RING5 + (t & 7)] = s9
        s33 += s5 - (st[RING33 + ((t - 33) & 63)] << sh >> sh)
        st[RING33 + (t & 63)] = s5
        band = 33 * (st[RING33 + ((t - 16) & 63)] << sh >> sh) - s33
        st[RING_BAND + (t & 127)] = band
        # energy
        d = band - (st[RING_BAND + ((t - 3) & 127)] << sh >> sh)
        if d < 0:
            d = 0 - d
        d >>= 4
        e = energy + d - st[RING_ENERGY + ((t - 30) & 31)]
        st[RING_ENERGY + (t & 31)] = d
        # sharpness, 17 samples later: as late as the band signal
        s4 += x - (st[RING9 + ((t - 4) & 15)] << sh >> sh)
        d = s4 - 2 * (st[RING4 + ((t - 4) & 15)] << sh >> sh) + (st[RING4 + ((t - 8) & 15)] << sh >> sh)
        st[RING4 + (t & 15)] = s4
        if d < 0:
            d = 0 - d
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
                v = st[RING_BAND + (j & 127)] << sh >> sh
                d = v - (st[RING_BAND + ((j - 3) & 127)] << sh >> sh)
                if v < 0:
                    v = 0 - v
                if d < 0:
                    d = 0 - d
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
