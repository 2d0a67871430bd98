"""The interlock of the cuff: the only owner of pump and valves, with a timer of its own.

Whatever is measured, this decides whether the pump may go on. It feeds the monostable that supplies pump and
valves only while everything is well, from its own timer, so that a node which hangs or dies lets go of them
within monostable_ms, and sounds the buzzer (docs/cuff.md has the circuit, the times and what is left over).

While it runs it stops everything (`_trip`) when a reading is above 280 mmHg or below -20; when none comes for
250 ms, or the counts do not change for 250 ms; when the pump brings no new maximum for 750 ms, or too little
at the beginning; when the control loop is silent for 300 ms; when the pump or the whole takes too long; when
the pressure switch has acted. A trip is latched: `fault` stays, and the buzzer with it, until a person at the
kit acknowledges it.

Pressures in Pa. What the timer calls takes no memory and no time from the node's Clock, which it may have
interrupted.
"""

TICK_MS = 50
# IEC 80601-2-30, 201.12.1.104 to 107: 300 mmHg at most, 15 mmHg within 180 s, 30 s between inflations.
HIGHEST_PA = 37330  # 280 mmHg: the sensor ends at 300
LOWEST_PA = -2666
EMPTY_PA = 2000  # 15 mmHg
STALE_US = 250000
STUCK_US = 250000
SILENT_US = 300000
RISE_PA = 40
RISE_US = 750000
# Below it a cuff unfolds without a rise, for so long; 8 mmHg.
FILLED_PA = 1067
FILL_US = 17000000
PUMP_US = 55000000
TOTAL_US = 150000000
REST_MS = 30000
HOUR_MS = 3600000
PER_HOUR = 12
# A reading that is older says nothing of the pressure now.
KNOWN_MS = 3000

OVER_PRESSURE = 1
SWITCHED = 2
NOT_DEFLATING = 3
OUT_OF_RANGE = 4
STALE = 5
STUCK = 6
NO_RISE = 7
SILENT = 8
TOO_LONG = 9
BROKEN = 10


class Refused(Exception):
    """No run may begin now."""


class CuffSafety:
    """`actuator`: the CuffActuator, which nobody else has; `clock`: the node's Clock;
    `start_timer(period_ms, callback)` gives a timer with deinit(), whose callback comes although tasks hang.

    `running`: from begin() to end() or a trip. `fault`: why it tripped, 0 when acknowledged. `filled`: set by
    the measurement once this run's cuff does not unfold any more, whatever the sensor shows from then on.
    """

    def __init__(self, actuator, clock, start_timer):
        self._actuator = actuator
        self._clock = clock
        self._start_timer = start_timer
        self._timer = None
        self.running = self.filled = False
        self.fault = 0
        self._armed = False
        self._duty = 0
        self._raw = -1
        self._began = self._beat = self._fresh = self._changed = self._pumped = self._risen = 0
        self._peak = 0
        self._starts = []
        self._empty_ms = -1
        self._known_ms = -1
        # None: not known.
        self.empty = None
        actuator.safe()
        actuator.arm(0)

    # In the time of tasks

    def level(self, pa):
        """A reading outside of a run: since when the cuff is empty."""
        now_ms = self._clock.now_ms()
        self.empty = pa < EMPTY_PA
        if not self.empty or now_ms - self._known_ms > KNOWN_MS:
            self._empty_ms = -1
        if self.empty and self._empty_ms < 0:
            self._empty_ms = now_ms
        self._known_ms = now_ms

    def wait_ms(self):
        """How long until an inflation may begin, as far as is known; 0: now."""
        now_ms = self._clock.now_ms()
        wait = REST_MS
        if self._empty_ms >= 0 and now_ms - self._known_ms <= KNOWN_MS:
            wait -= now_ms - self._empty_ms
        if len(self._starts) >= PER_HOUR:
            wait = max(wait, self._starts[0] + HOUR_MS - now_ms)
        return max(wait, 0)

    def begin(self):
        """Arm, and let the pump be run; Refused while a fault is latched or the rest is not over."""
        if self.running or self.fault or self.wait_ms():
            raise Refused()
        if len(self._starts) >= PER_HOUR:
            self._starts.pop(0)
        self._starts.append(self._clock.now_ms())
        self._empty_ms = -1
        self.empty = False
        now = self._clock.ticks_us()
        self._began = self._beat = self._fresh = self._changed = now
        self._duty = 0
        self._raw = -1
        self.filled = False
        self._actuator.safe()
        self._armed = False
        self.running = True
        if self._timer is None:
            self._timer = self._start_timer(TICK_MS, self._tick)

    def unfed(self, duty):
        """The pump's pin without supply, before a run: that nothing turns shows that the supply ends."""
        if not self.running:
            self._actuator.pump(0 if self.fault else duty)

    def pump(self, duty):
        """Run the pump: 0 … 65535; nothing happens unless a run is on."""
        if not self.running:
            return
        if duty and not self._duty:
            self._pumped = self._risen = self._clock.ticks_us()
            self._peak = LOWEST_PA
        self._duty = duty
        self._actuator.pump(duty)

    def valve(self, duty, release=1):
        """Close the valve: 0 … 65535, and the release (1) or open it (0); nothing happens unless a run is
        on.
        """
        if self.running:
            self._actuator.valve(duty)
            self._actuator.release(release)

    def beat(self):
        """The control loop lives."""
        self._beat = self._clock.ticks_us()

    def reading(self, pa, raw, ticks):
        """A conversion that began at `ticks`: pressure and counts. Trips at once where it is too high."""
        if not self.running:
            return
        self._fresh = ticks
        if raw != self._raw:
            self._raw = raw
            self._changed = ticks
        if pa > HIGHEST_PA:
            self._trip(OVER_PRESSURE)
        elif pa < LOWEST_PA:
            self._trip(OUT_OF_RANGE)
        elif pa > self._peak + RISE_PA:
            self._peak = pa
            self._risen = ticks

    def end(self, shout=False):
        """Everything off and open. `shout`: leave the buzzer to sound, which hush() ends."""
        self.running = False
        self._actuator.safe()
        if not self.fault:
            if shout:
                # A run that ends before it has begun is not armed yet.
                self._armed = True
                self._actuator.arm(1)
            else:
                self._disarm()
            self._stop_timer()

    def hush(self):
        """The shout of an end is over."""
        if not self.running and not self.fault:
            self._disarm()

    def trip(self, why):
        """Stop everything, latched, for what only others see (NOT_DEFLATING, BROKEN)."""
        self._trip(why)

    def acknowledge(self):
        """A person at the kit has seen it; false, and nothing changes, while the cuff is known to be
        inflated.
        """
        if not self.empty and self._clock.now_ms() - self._known_ms <= KNOWN_MS:
            return False
        self.fault = 0
        self._stop_timer()
        self._actuator.safe()
        self._disarm()
        return True

    def _disarm(self):
        self._armed = False
        self._actuator.arm(0)

    def _stop_timer(self):
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None

    # In the time of the timer, too

    def _trip(self, why):
        self.running = False
        self._actuator.safe()
        if not self.fault:
            self.fault = why
        if not self._armed:
            self._armed = True
            self._actuator.arm(1)

    def _tick(self, timer):
        if not self.running:
            # Whoever was interrupted by the trip may just have been about to start the pump.
            self._actuator.safe()
            return
        try:
            why = self._wrong()
            if why:
                self._trip(why)
            else:
                self._actuator.feed()
                if not self._armed:
                    # Behind the first feed, or the buzzer would click.
                    self._armed = True
                    self._actuator.arm(1)
        except Exception:
            self._trip(BROKEN)

    def _wrong(self):
        diff = self._clock.ticks_diff
        now = self._clock.ticks_us()
        if self._actuator.switched():
            return SWITCHED
        if diff(now, self._beat) > SILENT_US:
            return SILENT
        if diff(now, self._fresh) > STALE_US:
            return STALE
        if diff(now, self._changed) > STUCK_US:
            return STUCK
        if diff(now, self._began) > TOTAL_US:
            return TOO_LONG
        if self._duty:
            pumping = diff(now, self._pumped)
            if pumping > PUMP_US:
                return TOO_LONG
            filled = self.filled or self._peak > FILLED_PA
            if diff(now, self._risen) > RISE_US and (filled or pumping > FILL_US):
                return NO_RISE
        return 0
