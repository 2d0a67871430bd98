"""Air, valves and supply of a cuff: what the pins of drivers/cuff_actuator.py do to the pressure on an arm.

Two volumes: the manifold (pump, valve, sensor) and the cuff, with the hose between them. The release and the
pressure switch have ports of their own at the cuff. Gas at constant temperature: (p + 760) * volume is its
amount. The cuff's bladder unfolds at a few mmHg and then stretches; the artery under it takes its volume away
(Babbs 2012, doi 10.1186/1475-925X-11-56). Pins keep their levels whatever becomes of who set them, as on
silicon.

Stepped lazily: `mmhg`, `drive` and every property bring it to now_us() first. Runs under both interpreters.
"""

from math import exp

ATMOSPHERE = 760.0
STEP_US = 4000
IDLE_STEP_US = 500000
OUTPUTS = ("PUMP", "VALVE", "RELEASE", "FEED", "ARM")
FULL = 65535

PUMP_ML_S = 20.0  # free air, at no pressure and full duty
PUMP_STALL_MMHG = 520.0
# ml of free air a second and mmHg
VALVE_OPEN = 0.8
RELEASE_OPEN = 0.8
HOSE = 6.0
HOSE_KINKED = 0.0005
NO_CUFF = 60.0
# The linear valve is shut from here on.
VALVE_SHUT_AT = 0.9
UNFOLD_MMHG = 6.0
STRETCH_ML = 0.35  # a mmHg
MANIFOLD_ML = 8.0
SWITCH_MMHG = 290.0
MONOSTABLE_MS = 400
RECENT = 100
HISTORY_US = 20000
HISTORY_MAX = 100000


class NoArm:
    """Nothing in the cuff that pulsates."""

    def volume_ml(self, cuff_mmhg, t_s):
        """Always 0."""
        return 0.0


class Pneumatics:
    """`pins`: levels by name, changed through `drive`, or by who calls `changing` before; `arm` has
    volume_ml(cuff_mmhg, t_s); `now_us()` is the world's time. `cuff_ml`: the bladder when unfolded.

    Faults, to be set at any time: `leak_ml_s_mmhg` (0.02 is a slow one, 0.3 a pulled hose), `valve_stuck` and
    `release_stuck` ("shut", "open" or None), `pump_stuck` (runs while supplied), `no_cuff`, `hose_kinked`,
    `switch_stuck` (never trips), `monostable_stuck` (always supplies), `sensor_stuck` (mmHg that the sensor
    shows, with its noise; None: the truth). `disturb_ml(t_s)`:
    volume that a movement takes from the cuff. `history`: (us, mmHg in the cuff, whether the pump turns,
    whether there is supply, whether the buzzer sounds) every 20 ms and at each change.
    """

    def __init__(self, pins, arm=None, now_us=None, cuff_ml=130.0):
        self.pins = pins
        for name in OUTPUTS + ("SWITCH", "BUZZER"):
            pins.setdefault(name, 0)
        self.arm = arm if arm is not None else NoArm()
        self._now_us = now_us
        self._cuff_ml = cuff_ml
        self.leak_ml_s_mmhg = 0.0
        self.valve_stuck = None
        self.release_stuck = None
        self.pump_stuck = False
        self.no_cuff = False
        self.hose_kinked = False
        self.switch_stuck = False
        self.monostable_stuck = False
        self.sensor_stuck = None
        self.disturb_ml = None
        self.at_us = now_us() if now_us else 0
        self.cuff_mmhg = 0.0
        self.manifold_mmhg = 0.0
        self._fed_us = None
        self._tripped = False
        self._inside = self._artery(0.0)
        self._gas = ATMOSPHERE * (self._bladder(0.0) - self._inside)
        self._recent = []
        self._slot = 0
        self._noted_us = self.at_us - HISTORY_US
        self._dirty = True
        self.history = []

    # What others see

    def changing(self, name, level):
        """A pin is about to take this level: until now it had the one that `pins` says."""
        if name not in OUTPUTS:
            return
        self.advance()
        if name == "FEED" and level != self.pins["FEED"]:
            self._fed_us = self.at_us
        if name == "ARM" and not level:
            self._tripped = False
        self._dirty = name != "FEED"

    def drive(self, name, level):
        """A pin of the node takes this level now."""
        self.changing(name, level)
        self.pins[name] = level
        self.advance()

    def reset_pins(self):
        """Power-on, a hard reset or the watchdog's: every output is an input again, pulled low."""
        for name in OUTPUTS:
            self.drive(name, 0)

    def mmhg(self, now_us=None):
        """What the sensor's port feels; also of a moment up to 0.4 s ago, which a conversion took."""
        self.advance(now_us)
        if self.sensor_stuck is not None:
            return self.sensor_stuck
        if now_us is not None and now_us < self.at_us and self._recent:
            back = (self.at_us - now_us) // STEP_US
            return self._recent[max(len(self._recent) - 1 - back, 0)]
        return self.manifold_mmhg

    @property
    def supply(self):
        """Whether pump and valves have current."""
        if self._tripped:
            return False
        fed = self._fed_us is not None and self.at_us - self._fed_us < MONOSTABLE_MS * 1000
        return fed or self.monostable_stuck

    @property
    def pump_running(self):
        """Whether the pump turns."""
        self.advance()
        return self._pump_level() > 0

    @property
    def buzzer(self):
        """Whether the hardware sounds its own alarm: armed, and no supply."""
        return bool(self.pins["ARM"]) and not self.supply

    # Physics

    def advance(self, now_us=None):
        """Bring the world to `now_us` (None: now)."""
        if now_us is None:
            if self._now_us is None:
                return
            now_us = self._now_us()
        while self.at_us < now_us:
            step_us = STEP_US if self._moving() else IDLE_STEP_US
            step_us = min(step_us, now_us - self.at_us)
            self._step(step_us / 1e6)
            self.at_us += step_us
            self._remember()
            self._outputs()
        self._outputs()

    def _moving(self):
        return self.supply or self.cuff_mmhg > 0.5 or self.manifold_mmhg > 0.5

    def _remember(self):
        """The manifold's pressure at every STEP_US, newest last."""
        slot = self.at_us // STEP_US
        if slot != self._slot:
            self._slot = slot
            self._recent.append(self.manifold_mmhg)
            if len(self._recent) > 2 * RECENT:
                self._recent = self._recent[RECENT:]

    def _bladder(self, mmhg):
        if mmhg <= 0:
            return 5.0
        return 5.0 + self._cuff_ml * (1 - exp(-mmhg / UNFOLD_MMHG)) + STRETCH_ML * mmhg

    def _artery(self, mmhg):
        t_s = self.at_us / 1e6
        ml = self.arm.volume_ml(mmhg, t_s)
        return ml + self.disturb_ml(t_s) if self.disturb_ml is not None else ml

    def _pump_level(self):
        if not self.supply:
            return 0.0
        return 1.0 if self.pump_stuck else self.pins["PUMP"] / FULL

    def _open(self):
        """How far the valve and the release are open, 0 … 1."""
        powered = self.supply
        valve = self.valve_stuck
        if valve is None:
            valve_open = max(0.0, 1 - self.pins["VALVE"] / FULL / VALVE_SHUT_AT) if powered else 1.0
        else:
            valve_open = 1.0 if valve == "open" else 0.0
        release = self.release_stuck
        if release is None:
            release_open = 0.0 if powered and self.pins["RELEASE"] else 1.0
        else:
            release_open = 1.0 if release == "open" else 0.0
        return valve_open, release_open

    def _step(self, dt):
        valve_open, release_open = self._open()
        pump = PUMP_ML_S * self._pump_level()
        hose = HOSE_KINKED if self.hose_kinked else HOSE
        # Implicit in the manifold, whose volume is too small for the step.
        per_mmhg = MANIFOLD_ML / ATMOSPHERE / dt
        out = VALVE_OPEN * valve_open
        manifold = (per_mmhg * self.manifold_mmhg + pump + hose * self.cuff_mmhg) / (
            per_mmhg + pump / PUMP_STALL_MMHG + out + hose
        )
        self.manifold_mmhg = max(manifold, 0.0)
        p = self.cuff_mmhg
        vents = RELEASE_OPEN * release_open + self.leak_ml_s_mmhg + (NO_CUFF if self.no_cuff else 0.0)
        hose_flow = hose * (self.manifold_mmhg - p)
        self._gas += (hose_flow - min(vents, 0.3 * self._cuff_ml / ATMOSPHERE / dt) * p) * ATMOSPHERE * dt
        inside = self._artery(p)
        # One Newton step each way is enough at these pressures; two are for the unfolding.
        for _ in range(3):
            volume = self._bladder(p) - inside
            slope = (self._bladder(p + 0.05) - self._bladder(p)) / 0.05
            p += (self._gas - (p + ATMOSPHERE) * volume) / (volume + (p + ATMOSPHERE) * slope)
            p = max(p, 0.0)
        self._inside = inside
        self._gas = max(self._gas, ATMOSPHERE * (self._bladder(0.0) - inside))
        self.cuff_mmhg = p

    def _outputs(self):
        if self.cuff_mmhg >= SWITCH_MMHG and not self.switch_stuck:
            self._tripped = True
        pins = self.pins
        buzzer = self.buzzer
        if pins["BUZZER"] != buzzer:
            pins["BUZZER"] = int(buzzer)
            self._dirty = True
        if pins["SWITCH"] != self._tripped:
            pins["SWITCH"] = int(self._tripped)
            self._dirty = True
        if self._dirty or self.at_us - self._noted_us >= HISTORY_US:
            self._dirty = False
            self._noted_us = self.at_us
            if len(self.history) >= HISTORY_MAX:
                del self.history[: HISTORY_MAX // 2]
            self.history.append((self.at_us, self.cuff_mmhg, self._pump_level() > 0, self.supply, buzzer))
