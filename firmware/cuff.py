"""Blood pressure as a feature of the node: who may start it, the button, faults, what alarms and orders ask.

The measurement itself is firmware/bp_run.py, the tests of the cuff firmware/cuff_check.py: imported when they
begin and forgotten after. Whatever ends them, the interlock (firmware/cuff_safety.py) is told to end.
"""

import asyncio
import sys

from drivers.cuff_actuator import CuffActuator
from drivers.errors import DriverError
from firmware import cuff_safety, interlocks
from firmware.requests import forget
from protocol import frames

POLL_MS = 150
SHORT_MS = 2000
CONSENT_MS = 60000
DEFLATE_MS = 20000
SHOUT_MS = 3000
RETRY_S = 8


class BloodPressure:
    """`driver_class` of the pressure sensor. `inflated`; `fault`: 0 or the event code of what is latched;
    `last`: (systolic, diastolic in 0.1 mmHg, t_us, number) of the last one measured, None. Of the runs:
    `number`, `driver`, `safety`, `source`, `bleed` (duty at which the valve began to let go, learned),
    `stopping` (0, or the refusal that is to end it).
    """

    def __init__(self, node, driver_class):
        self.node = node
        self.driver_class = driver_class
        self.driver = None
        board = node.board
        self.safety = cuff_safety.CuffSafety(CuffActuator(*board.cuff()), node.clock, board.timer)
        self.sleep_ms = asyncio.sleep_ms  # pyright: ignore[reportAttributeAccessIssue]
        self.fault = 0
        self.last = None
        self.number = 0
        self.source = 0
        self.bleed = 0
        self.busy = False
        self.stopping = 0
        self.untold = False
        self._wanted = None
        self._until_ms = 0
        self._watch_ms = 0
        self._hush_ms = 0
        self._held_ms = -1
        self._absent = 0
        self._faulty = False

    @property
    def inflated(self):
        """Whether a run is on, or the cuff is not known to be empty after one."""
        return self.safety.running or ((self.busy or self._watch_ms > 0) and self.safety.empty is False)

    def channels(self):
        """For the boot frame."""
        kind = self.driver_class
        return [[frames.CH_CUFF, kind.part, kind.period_ns, kind.lsb]]

    # What others ask

    def request(self, reason, command_id=None, cuff_size=None, operation=frames.OP_MEASURE_BP, level=0):
        """Have a measurement (or OP_CUFF_LEAK, OP_CUFF_STATIC at `level` mmHg) done: frames.RESULT_….

        RESULT_BEGUN: one ordered from afar waits up to 60 s for the button; how it ended is in its bp frame.
        """
        if self.busy or self._wanted or self.fault or interlocks.refused(self.node, interlocks.CUFF):
            return frames.RESULT_INTERLOCK
        if cuff_size is None:
            cuff_size = self.node.settings.cuff_size
        self.stopping = 0
        self.number += 1
        self._wanted = (operation, reason, command_id, cuff_size, level)
        self._until_ms = self.node.clock.now_ms() + CONSENT_MS if reason == frames.REASON_COMMAND else 0
        return frames.RESULT_BEGUN

    def cancel(self):
        """End what runs or waits; the cuff is empty soon after."""
        self.stopping = frames.BP_CANCELLED

    def begin(self):
        """After the boot frame: find the sensor. An earlier boot may have left the cuff full."""
        self._open()
        self._watch_ms = self.node.clock.now_ms() + DEFLATE_MS

    def tasks(self):
        """(name, coroutine function) of each task."""
        return (("cuff", self.run),)

    def second(self, readings):
        """Once a second: how full the cuff is, what is wrong."""
        now_ms = self.node.clock.now_ms()
        safety = self.safety
        if self.busy and not self.stopping and interlocks.refused(self.node, interlocks.CUFF):
            self.stopping = frames.BP_INTERLOCK
        if not safety.running and not self.busy:
            self._look()
            if self._watch_ms:
                if safety.empty:
                    self._watch_ms = 0
                elif now_ms > self._watch_ms:
                    self._watch_ms = 0
                    # Not where no sensor has ever said so, and nothing was inflated.
                    if safety.empty is False:
                        safety.trip(cuff_safety.NOT_DEFLATING)
        if self._hush_ms and now_ms > self._hush_ms:
            self._hush_ms = 0
            safety.hush()
        if safety.fault and not self.fault:
            code = event_of(safety.fault)
            # Of the first two the alarms make theirs, from the readings.
            if self.node.alarms is None or safety.fault > cuff_safety.NOT_DEFLATING:
                self.node.report(code, frames.PRIORITY_HIGH, safety.fault, "cuff: stopped")
            # Not before it is told: that may fail for want of memory.
            self.fault = code
        readings.cuff_fault = self.fault
        # Runs that measure nothing have numbers, too.
        if self.last:
            readings.bp = (self.last[0], self.last[1], self.last[3], self.last[2])

    def stop(self):
        """The orderly end of the node."""
        self.cancel()
        self.safety.end()

    # The task

    async def run(self):
        """Watch the button, and do what is wanted."""
        while True:
            await self.sleep_ms(POLL_MS)
            pressed = self.pressed() and self._press()
            wanted = self._wanted
            if wanted is None:
                if pressed:
                    self.request(frames.REASON_BUTTON)
            elif self.stopping or (self._until_ms and self.node.clock.now_ms() > self._until_ms):
                self._wanted = None
                await self._do(wanted, self.stopping or frames.BP_CANCELLED)
            elif pressed or not self._until_ms:
                self._wanted = None
                await self._do(wanted, frames.BP_MEASURED)

    def pressed(self):
        """Whether the button has been pressed, not for long, and let go."""
        now_ms = self.node.clock.now_ms()
        if self.node.board.consent():
            if self._held_ms < 0:
                self._held_ms = now_ms
            return False
        held_ms, self._held_ms = self._held_ms, -1
        return held_ms >= 0 and now_ms - held_ms < SHORT_MS

    def stopped(self):
        """The refusal that a run is to end with, or 0: a hand on the button, which is no short press then,
        cancel(), a charger.
        """
        if self.node.board.consent():
            self._held_ms = self.node.clock.now_ms() - SHORT_MS
            self.stopping = self.stopping or frames.BP_CANCELLED
        return self.stopping

    def shout(self):
        """Leave the hardware's buzzer on for a moment."""
        self.safety.end(True)
        self._hush_ms = self.node.clock.now_ms() + SHOUT_MS

    async def _do(self, wanted, refusal):
        name = "bp_run" if wanted[0] == frames.OP_MEASURE_BP else "cuff_check"
        self.busy = self.untold = True
        self._hush_ms = 0
        try:
            self.safety.hush()
            # Reading modules from flash takes a while.
            self.node.drain()
            if name == "bp_run":
                from firmware import bp_run

                self.node.drain()
                await bp_run.run_measurement(self, wanted, refusal)
            else:
                from firmware import cuff_check

                await cuff_check.run_check(self, wanted, refusal)
        except Exception:
            if self.safety.running:
                self.safety.trip(cuff_safety.BROKEN)
            if self.untold and not refusal:
                # Once more, to be refused: that wants little.
                self._wanted = wanted
                self.stopping = frames.BP_INTERLOCK
            raise
        finally:
            self.busy = False
            self._watch_ms = self.node.clock.now_ms() + DEFLATE_MS
            if self.safety.running or not self._hush_ms:
                self.safety.end()
            forget(name)
            forget("cuff_line")
            forget("cuff_proof")
            forget_listener()

    def _press(self):
        """Of the button while nothing runs: whether it is to begin; first it is for what sounds."""
        alarms = self.node.alarms
        if alarms and (self.fault or alarms.sounding):
            alarms.silence()
            if not self.fault:
                return False
        if not self.fault:
            return True
        if self.safety.acknowledge():
            self.node.report(self.fault, frames.PRIORITY_INFO, 0, "cuff: acknowledged")
            self.fault = 0
        return False

    # The sensor between runs

    def _open(self):
        """Find the sensor; false, and told of once, when it is not well."""
        self._absent = RETRY_S
        try:
            driver = self.driver_class(*self.node.board.bus("cuff"))
            driver.check()
            driver.configure()
            driver.start()
            self.source = self.node.board.input_info()[-1]
        except (OSError, DriverError) as error:
            self._lost(error)
            return
        self.driver = driver

    def _lost(self, error):
        self.driver = None
        self._absent = RETRY_S
        if not self._faulty:
            self._faulty = True
            self.node.report(frames.EVENT_SENSOR_FAULT, frames.PRIORITY_MEDIUM, None, str(error))

    def _look(self):
        if self.driver is None:
            self._absent -= 1
            if self._absent <= 0:
                self._open()
            return
        try:
            pa = self.driver.read()
        except DriverError as error:
            self._lost(error)
            return
        if pa is not None:
            self.safety.level(pa)
            if self._faulty:
                self._faulty = False
                self.node.report(frames.EVENT_SENSOR_RECOVERED, frames.PRIORITY_LOW, None, self.driver.part)


def forget_listener():
    """As requests.forget, of what the oscillometer is made of."""
    room = sys.modules.get("firmware.dsp")
    for name in ("oscillometry", "artery"):
        sys.modules.pop("firmware.dsp." + name, None)
        if hasattr(room, name):
            delattr(room, name)


def event_of(fault):
    """The event's code for a fault of the interlock."""
    if fault <= cuff_safety.SWITCHED:
        return frames.EVENT_OVER_PRESSURE
    if fault == cuff_safety.NOT_DEFLATING:
        return frames.EVENT_NOT_DEFLATING
    if fault <= cuff_safety.NO_RISE:
        return frames.EVENT_SENSOR_FAULT
    return frames.EVENT_INTERNAL_ERROR
