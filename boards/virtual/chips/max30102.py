"""MAX30102 at the level of its registers (datasheet 19-7740 rev 1; section names are its own).

Modelled: the register file, auto-increment except at FIFO_DATA, the 32-sample FIFO with both pointers,
overflow counter and both roll-over behaviours, almost-full and new-data interrupts, averaging, LED currents,
ranges and resolutions of Tables 5 to 7, shutdown, reset, brown-out, ambient light beyond what is subtracted.
Not modelled: die temperature, multi-LED mode (only red alone and red with infrared).
"""

from boards.virtual.chips.sampling import Feed, SampleClock

ADDRESS = 0x57
DEPTH = 32
BLOCK = 64

STATUS_1, STATUS_2, ENABLE_1, ENABLE_2 = 0x00, 0x01, 0x02, 0x03
WR_PTR, OVF, RD_PTR, DATA = 0x04, 0x05, 0x06, 0x07
FIFO_CONFIG, MODE, SPO2, LED1, LED2 = 0x08, 0x09, 0x0A, 0x0C, 0x0D
MULTI_1, MULTI_2, TEMP_CONFIG, REV_ID, PART_ID = 0x11, 0x12, 0x21, 0xFE, 0xFF
WRITABLE = (
    ENABLE_1,
    ENABLE_2,
    WR_PTR,
    OVF,
    RD_PTR,
    FIFO_CONFIG,
    MODE,
    SPO2,
    LED1,
    LED2,
    MULTI_1,
    MULTI_2,
    TEMP_CONFIG,
)

A_FULL, PPG_RDY, ALC_OVF, PWR_RDY = 0x80, 0x40, 0x20, 0x01
SHDN, RESET_BIT, ROLLOVER = 0x80, 0x40, 0x10
FULL_SCALE_NA = (2048, 4096, 8192, 16384)  # Table 5
RATE_HZ = (50, 100, 200, 400, 800, 1000, 1600, 3200)  # Table 6
MAX_RATE = (7, 5, 4, 3)  # Table 11: the highest SPO2_SR for each LED_PW
REFERENCE_MA = 7.2  # the LED current at which the patient's photocurrents are given
STEP_MA = 0.2  # Table 8
ALC_NA = 200_000.0  # "Ambient Light Rejection": 200 uA is subtracted; the rest reaches the converter


class Max30102Model:
    """One chip. `signal(start_us, period_us, n)` gives two lists of n photocurrents in nA at 7.2 mA: red,
    infrared.

    `ambient_na`: photocurrent of the light around, subtracted up to ALC_NA.
    `now_us()` is the world's time. `read(register, n)` and `write(register, data)` are I2C transactions after
    the address. `log`, when set, gets `log.pair(red, infrared)` for every sample read, and `log.cut()` when
    sampling starts anew.
    """

    address = ADDRESS

    def __init__(self, signal, now_us, ppm=0, part_id=0x15, log=None):
        self._signal = signal
        self._now_us = now_us
        self._ppm = ppm
        self._part_id = part_id
        self._log = log
        self.present = True
        self.ambient_na = 0.0
        self.brown_out()

    def brown_out(self):
        """The supply failed for a moment: every register is as after power-up, and nothing samples."""
        self._power_up()
        self._status = PWR_RDY

    def _power_up(self):
        self._registers = bytearray(256)
        self._memory = [0] * DEPTH  # (red << 18) | infrared
        self._unread = 0
        self._status = 0
        self._clock = None
        self._feed = None
        self._phase = 0  # bytes read of the sample at the read pointer
        self._open = 0  # that sample

    # -- time -----------------------------------------------------------------------------------------

    def advance(self, now_us):
        """Sample up to `now_us`."""
        clock, feed = self._clock, self._feed
        if clock is None or feed is None:
            return
        n = clock.due(now_us)
        if not n:
            return
        registers = self._registers
        rolls = registers[FIFO_CONFIG] & ROLLOVER
        lost = max(0, n - (DEPTH if rolls else DEPTH - self._unread))
        if lost and rolls:
            # more than a whole turn: all that was unread is overwritten, and the first of the new too
            registers[OVF] = min(0x1F, registers[OVF] + self._unread + lost)
            registers[WR_PTR] = registers[RD_PTR] = (registers[WR_PTR] + lost) & 31
            self._unread = 0
            self._phase = 0
            feed.skip(lost)
        self._push(feed.take(n - lost))
        if lost and not rolls:
            registers[OVF] = min(0x1F, registers[OVF] + lost)
            feed.skip(lost)
        self._status |= PPG_RDY
        if self.ambient_na > ALC_NA:
            self._status |= ALC_OVF

    def _push(self, samples):
        registers = self._registers
        write = registers[WR_PTR]
        for sample in samples:
            self._memory[write] = sample
            write = (write + 1) & 31
        registers[WR_PTR] = write
        threshold = DEPTH - (registers[FIFO_CONFIG] & 0x0F)
        before = self._unread
        self._unread += len(samples)
        if before < threshold <= self._unread:
            self._status |= A_FULL
        if self._unread > DEPTH:
            # "FIFO Rolls on Full": the oldest are overwritten; the read pointer is pushed along, and what
            # went is counted
            registers[OVF] = min(0x1F, registers[OVF] + self._unread - DEPTH)
            registers[RD_PTR] = write
            self._unread = DEPTH
            self._phase = 0

    # -- bus ------------------------------------------------------------------------------------------

    def read(self, register, n):
        """`n` bytes from `register` on; None when the chip does not acknowledge."""
        if not self.present:
            return None
        self.advance(self._now_us())
        reply = bytearray(n)
        i = 0
        while i < n:
            if register == DATA:
                self._read_data(reply, i)
                break
            reply[i] = self._read_register(register)
            i += 1
            register = min(register + 1, 0xFF)
        return bytes(reply)

    def write(self, register, data):
        """Write bytes from `register` on; false when the chip does not acknowledge."""
        if not self.present:
            return False
        now_us = self._now_us()
        self.advance(now_us)
        for value in data:
            self._write_register(register, value, now_us)
            if register != DATA:
                register = min(register + 1, 0xFF)
        return True

    def _read_register(self, register):
        if register == STATUS_1:
            status, self._status = self._status, 0
            return status
        if register == PART_ID:
            return self._part_id
        if register == REV_ID:
            return 0x03
        return self._registers[register]

    def _read_data(self, reply, at):
        """ "FIFO Data Register": the pointer advances after the first byte of each sample; an empty FIFO
        repeats old memory.
        """
        registers = self._registers
        width = 6 if registers[MODE] & 7 != 2 else 3
        self._status &= ~PPG_RDY
        end = len(reply)
        phase = self._phase
        sample = self._open
        while at < end:
            if phase == 0:
                read = registers[RD_PTR]
                sample = self._memory[read]
                registers[RD_PTR] = (read + 1) & 31
                registers[OVF] = 0
                if self._unread:
                    self._unread -= 1
                    if self._log is not None:
                        self._log.pair(sample >> 18, sample & 0x3FFFF)
            value = sample >> 18 if phase < 3 else sample & 0x3FFFF
            reply[at] = (value >> (16 - 8 * (phase % 3))) & 0xFF
            at += 1
            phase = (phase + 1) % width
        self._phase = phase
        self._open = sample

    def _write_register(self, register, value, now_us):
        if register not in WRITABLE:
            return
        registers = self._registers
        if register == MODE and value & RESET_BIT:
            self._power_up()
            return
        if register in (WR_PTR, OVF, RD_PTR):
            registers[register] = value & 0x1F
            self._unread = (registers[WR_PTR] - registers[RD_PTR]) & 31
            self._phase = 0
            return
        if register == SPO2:
            value &= 0x7F
            rate = min((value >> 2) & 7, MAX_RATE[value & 3])
            value = (value & 0x63) | (rate << 2)
        registers[register] = value
        if register in (LED1, LED2) and self._feed is not None:
            self._feed.drop()  # what was computed ahead is of the old current
        if register == MODE or (register in (SPO2, FIFO_CONFIG) and self._clock is not None):
            self._restart(now_us)

    def _restart(self, now_us):
        mode = self._registers[MODE]
        if mode & SHDN or mode & 7 not in (2, 3):
            self._clock = None
            self._feed = None
            if mode & SHDN:
                self._status = 0
            return
        rate_hz = RATE_HZ[(self._registers[SPO2] >> 2) & 7]
        average = 1 << min(5, self._registers[FIFO_CONFIG] >> 5)
        self._clock = SampleClock(now_us, average * 1_000_000_000 // rate_hz, self._ppm)
        self._feed = Feed(self._signal, self._pack, self._clock, BLOCK)
        if self._log is not None:
            self._log.cut()

    def _pack(self, currents):
        """Photocurrents to samples: scaled by the LED current, cut to the resolution, left-justified in 18
        bits (Table 1).
        """
        registers = self._registers
        full_na = FULL_SCALE_NA[registers[SPO2] >> 5]
        low_bits = 3 - (registers[SPO2] & 3)
        red_scale = 262144 / full_na * registers[LED1] * STEP_MA / REFERENCE_MA
        infrared_scale = 262144 / full_na * registers[LED2] * STEP_MA / REFERENCE_MA
        red, infrared = currents
        excess = max(0.0, self.ambient_na - ALC_NA) * 262144 / full_na
        words = []
        for i in range(len(red)):
            r = min(262143, max(0, int(red[i] * red_scale + excess))) >> low_bits << low_bits
            ir = min(262143, max(0, int(infrared[i] * infrared_scale + excess))) >> low_bits << low_bits
            words.append((r << 18) | ir)
        return words
