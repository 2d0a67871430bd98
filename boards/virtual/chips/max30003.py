"""MAX30003 at the level of its registers (datasheet 19-8558 rev 3; section names are its own).

Modelled: the register file with its reset values, SPI transactions normal and burst, the 32-word ECG FIFO
with tags, EINT, EOVF, DC lead-off with its 115 ms, PLL lock, fast recovery by hand and automatic, FIFO_RST,
SYNCH, SW_RST, and that INFO is invalid as the first command after a reset. Not modelled: R-to-R detector,
calibration source, ULP lead-on, and the digital filters (the patient's signal is band-limited to the sample
rate; DHPF and DLPF change nothing here).
"""

from boards.virtual.chips.sampling import Feed, SampleClock

FIFO_DEPTH = 32
BLOCK = 128
PLL_LOCK_US = 1_000
LEAD_OFF_US = 115_000
LEAD_OFF_RAIL_MV = (
    900  # a floating input is pulled no further than the supply lets it ("DC Leads-Off Detection")
)

STATUS, EN_INT, EN_INT2, MNGR_INT, MNGR_DYN = 0x01, 0x02, 0x03, 0x04, 0x05
SW_RST, SYNCH, FIFO_RST, INFO = 0x08, 0x09, 0x0A, 0x0F
CNFG_GEN, CNFG_CAL, CNFG_EMUX, CNFG_ECG, CNFG_RTOR1, CNFG_RTOR2 = 0x10, 0x12, 0x14, 0x15, 0x1D, 0x1E
ECG_FIFO_BURST, ECG_FIFO = 0x20, 0x21

EINT, EOVF, FSTINT, DCLOFFINT, PLLINT = 0x800000, 0x400000, 0x200000, 0x100000, 0x000100
LDOFF_PH, LDOFF_PL, LDOFF_NH, LDOFF_NL = 0x8, 0x4, 0x2, 0x1
TAG_FAST, TAG_EOF, TAG_EMPTY, TAG_OVERFLOW = 0x08, 0x10, 0x30, 0x38

# "Register Map", reset values
RESET = {
    EN_INT: 0x000003,
    EN_INT2: 0x000003,
    MNGR_INT: 0x780004,
    MNGR_DYN: 0x3F0000,
    CNFG_GEN: 0x000004,
    CNFG_CAL: 0x004800,
    CNFG_EMUX: 0x300000,
    CNFG_ECG: 0x805000,
    CNFG_RTOR1: 0x3F2300,
    CNFG_RTOR2: 0x202400,
}
# "CNFG_ECG", Table 29: period in ns by (FMSTR, RATE); FMSTR 3 is 199.8049 samples a second
PERIOD_NS = {
    (0, 0): 1_953_125,
    (0, 1): 3_906_250,
    (0, 2): 7_812_500,
    (1, 0): 2_000_000,
    (1, 1): 4_000_000,
    (1, 2): 8_000_000,
    (2, 2): 5_000_000,
    (3, 2): 5_004_883,
}
IMAG_NA = (0, 5, 10, 20, 50, 100, 0, 0)
VTH_MV = (300, 400, 450, 500)
RBIAS_MOHM = (50, 100, 200, 200)


class Max30003Model:
    """One chip. `signal(start_us, period_us, n)` gives n input voltages in uV; `electrodes_off()` is true
    while they hang loose.

    `now_us()` is the world's time. `transfer(out) -> bytes` is one SPI transaction (chip select low to high).
    Without the chip (`present` false) the data line is `line`: 0x00, or 0xFF where a resistor pulls it up.
    `log`, when set, gets `log.sample(code)` for every 18-bit sample that leaves the FIFO by a read, and
    `log.cut()` at each new record.
    """

    def __init__(self, signal, electrodes_off, now_us, ppm=0, info=0x513000, log=None):
        self._signal = signal
        self._electrodes_off = electrodes_off
        self._now_us = now_us
        self._ppm = ppm
        self._info = info
        self._log = log
        self.present = True
        self.line = 0x00
        self._power_up()

    def brown_out(self):
        """The supply failed for a moment: every register is as after power-up, and nothing samples."""
        self._power_up()

    def _power_up(self):
        self._registers = dict(RESET)
        self._fifo = []
        self._clock = None
        self._feed = None
        self._overflow = False
        self._fresh = True  # no command yet since the reset
        self._pll_due_us = 0
        self._pll_unlocked = False
        self._off_since = None
        self._lead_latch = 0
        self._fast_until = 0  # sample number
        self._fast_run = 0
        self._fast_latch = False

    # -- time -----------------------------------------------------------------------------------------

    def advance(self, now_us):
        """Sample up to `now_us`."""
        self._watch_leads(now_us)
        clock, feed = self._clock, self._feed
        if clock is None or feed is None:
            return
        n = clock.due(now_us)
        if not n:
            return
        if self._overflow or n > FIFO_DEPTH:
            feed.skip(n)
            self._overflow = True
            return
        words = feed.take(n)
        if self._off_since is not None:
            words = [self._rail_word()] * n
        if self._registers[MNGR_DYN] >> 22:
            words = self._mark_fast(words, clock)
        self._fifo.extend(words)
        if len(self._fifo) > FIFO_DEPTH:
            self._overflow = True

    def _watch_leads(self, now_us):
        off = self._electrodes_off()
        if not off:
            self._off_since = None
        elif self._off_since is None:
            self._off_since = now_us
        if off and self._lead_bits() and now_us - self._off_since >= LEAD_OFF_US:
            self._lead_latch = DCLOFFINT | self._lead_bits()

    def _lead_bits(self):
        """Which comparators a loose electrode trips with the currents and thresholds as they are set
        ("CNFG_GEN").
        """
        gen = self._registers[CNFG_GEN]
        if not gen & 0x080000 or (gen >> 12) & 3 != 1:
            return 0
        current_na = IMAG_NA[(gen >> 8) & 7]
        if not current_na:
            return 0
        bias = (gen >> 4) & 3 == 1
        rise_mv = LEAD_OFF_RAIL_MV
        if bias:
            rise_mv = min(rise_mv, current_na * RBIAS_MOHM[(gen >> 2) & 3])
        if rise_mv <= VTH_MV[(gen >> 6) & 3]:
            return 0
        return (LDOFF_PL | LDOFF_NH) if gen & 0x0800 else (LDOFF_PH | LDOFF_NL)

    def _rail_word(self):
        return 0x1FFFF << 6

    def _mark_fast(self, words, clock):
        """Recovery by hand, or for 500 ms after 125 ms of output beyond the threshold ("MNGR_DYN")."""
        mode = self._registers[MNGR_DYN] >> 22
        first = clock.taken - len(words)
        if mode == 1:
            self._fast_latch = True
            return [w | TAG_FAST for w in words]
        limit = 2048 * ((self._registers[MNGR_DYN] >> 16) & 0x3F)
        per_second = 1_000_000_000_000 // clock.period_ps
        out = []
        for i, word in enumerate(words):
            code = word >> 6
            if code & 0x20000:
                code = 0x40000 - code
            self._fast_run = self._fast_run + 1 if code >= limit else 0
            if self._fast_run > per_second // 8:
                self._fast_until = first + i + per_second // 2
                self._fast_latch = True
                self._fast_run = 0
            out.append(word | TAG_FAST if first + i < self._fast_until else word)
        return out

    # -- bus ------------------------------------------------------------------------------------------

    def transfer(self, out):
        """One SPI transaction; bytes of the same length as `out` come back."""
        n = len(out)
        if not self.present or not n:
            return bytes((self.line,)) * n
        now_us = self._now_us()
        self.advance(now_us)
        command = out[0]
        register = command >> 1
        fresh, self._fresh = self._fresh, False
        if not command & 1:
            if n >= 4:
                self._write(register, (out[1] << 16) | (out[2] << 8) | out[3], now_us)
            return bytes(n)
        if register in (ECG_FIFO_BURST, ECG_FIFO):
            words = (n - 1) // 3 if register == ECG_FIFO_BURST else min(1, (n - 1) // 3)
            return self._read_fifo(words, n)
        if n < 4:
            return bytes(n)
        value = self._read(register, fresh, now_us)
        return bytes((0, value >> 16, (value >> 8) & 0xFF, value & 0xFF)) + bytes(n - 4)

    def _read_fifo(self, words, n):
        reply = bytearray(n)
        fifo = self._fifo
        held = len(fifo)
        log = self._log
        at = 1
        for i in range(words):
            if self._overflow:
                word = TAG_OVERFLOW
            elif i < held:
                word = fifo[i]
                if log is not None:
                    code = word >> 6
                    log.sample(code - 0x40000 if code & 0x20000 else code)
                if i == held - 1:
                    word |= TAG_EOF
            else:
                word = TAG_EMPTY
            reply[at] = word >> 16
            reply[at + 1] = (word >> 8) & 0xFF
            reply[at + 2] = word & 0xFF
            at += 3
        if not self._overflow:
            self._fifo = fifo[words:]
        return bytes(reply)

    def _read(self, register, fresh, now_us):
        if register == STATUS:
            return self._status(now_us)
        if register == INFO:
            return 0 if fresh else self._info
        return self._registers.get(register, 0)

    def _status(self, now_us):
        status = self._lead_latch
        if len(self._fifo) > (self._registers[MNGR_INT] >> 19):
            status |= EINT
        if self._overflow:
            status |= EOVF
        if self._fast_latch:
            status |= FSTINT
        if self._clock is not None and (self._pll_unlocked or now_us < self._pll_due_us):
            status |= PLLINT
            self._pll_unlocked = now_us < self._pll_due_us
        if self._off_since is None:
            self._lead_latch = 0
        self._fast_latch = False
        return status

    def _write(self, register, value, now_us):
        if register == SW_RST and value == 0:
            self._power_up()
        elif register == FIFO_RST and value == 0:
            self._clear()
        elif register == SYNCH and value == 0:
            if self._clock is not None:
                self._begin(now_us)
        elif register in self._registers:
            if register == CNFG_GEN and not value & 0x080000:
                value &= ~0x30  # "CNFG_GEN": EN_RBIAS stays 00 without EN_ECG
            self._registers[register] = value
            if register in (CNFG_GEN, CNFG_ECG):
                self._reconfigure(register, now_us)

    def _reconfigure(self, register, now_us):
        if not self._registers[CNFG_GEN] & 0x080000:
            self._clock = None
            self._feed = None
            self._clear()
            return
        if register == CNFG_GEN:
            self._pll_due_us = now_us + PLL_LOCK_US
            self._pll_unlocked = True
        self._begin(now_us)

    def _begin(self, now_us):
        gen, ecg = self._registers[CNFG_GEN], self._registers[CNFG_ECG]
        period_ns = PERIOD_NS.get(((gen >> 20) & 3, ecg >> 22))
        if period_ns is None:  # a combination the datasheet reserves
            self._clock = None
            return
        self._clock = SampleClock(now_us, period_ns, self._ppm)
        self._feed = Feed(self._signal, self._pack, self._clock, BLOCK)
        self._fast_until = 0
        self._fast_run = 0
        self._clear()

    def _clear(self):
        self._fifo = []
        self._overflow = False
        if self._log is not None:
            self._log.cut()

    def _pack(self, microvolts):
        """ "ECG FIFO": code = V * gain * 2^17 / 1 V, clipped to 18 bits, in D[23:6]."""
        emux = self._registers[CNFG_EMUX]
        if emux & 0x300000:  # an input is isolated
            return [0] * len(microvolts)
        scale = (20 << ((self._registers[CNFG_ECG] >> 16) & 3)) * 131072 / 1e6
        if emux & 0x800000:
            scale = -scale
        words = []
        for v in microvolts:
            code = int(v * scale + (0.5 if v * scale >= 0 else -0.5))
            if code > 131071:
                code = 131071
            elif code < -131072:
                code = -131072
            words.append((code & 0x3FFFF) << 6)
        return words
