"""Whether a new version may stay: it samples on rate, and an agent has acknowledged a frame of it.

Loaded when a boot begins, and kept only by a version on trial or one that has to tell how a trial ended.
"""

import asyncio

from firmware import interlocks
from firmware.requests import forget
from firmware.version import VERSION
from protocol import frames
from protocol.update import version_key

LOOK_MS = 1000
# It has to sample on rate for so long without a break, and within so long after its start.
STEADY_S = 30
TRIAL_S = 600
# Of its samples, one in so many may be missed or late.
MISSED_IN = 500
LATE_IN = 50


def begun_trial(node, slot):
    """What a boot of `slot` has to do about a trial: an object with `run()`, a task; None: nothing."""
    choice = _choice(node)
    if choice.trial == "-":
        return None
    if choice.trial == slot:
        return Trial(node)
    return Told(node, choice)


def _choice(node):
    from firmware import slots

    try:
        return slots.read_choice(_root(node))
    finally:
        forget("slots")


def _keep_choice(node, choice):
    """Put it on flash; whether flash took it."""
    from firmware import slots

    node.drain()
    try:
        slots.write_choice(_root(node), choice)
    except OSError as error:
        node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, "slots: %s" % error)
        return False
    finally:
        forget("slots")
    return True


def _root(node):
    return node.board.root + "/" if node.board.root else ""


def _tell(node, code, text):
    """Seal an event that is never evicted; its number."""
    body = {
        frames.EVENT_CODE: code,
        frames.EVENT_PRIORITY: frames.PRIORITY_INFO,
        frames.EVENT_TEXT: text,
    }
    return node.sealer.seal(frames.KIND_EVENT, body, None, True)


class Told:
    """The version before runs again: say so, until an agent has acknowledged it."""

    def __init__(self, node, choice):
        self._node = node
        self._choice = choice
        why = choice.why or ("did not last" if choice.left == 0 else "could not be started")
        self._seq = _tell(node, frames.EVENT_ROLLED_BACK, "%s: %s" % (choice.tried, why))

    async def run(self):
        """Task: until it is known, and the record is free for the next."""
        box = self._node.sealer.box
        while box.holds(self._seq):
            await asyncio.sleep_ms(LOOK_MS)
        choice = _choice(self._node)
        if choice.serial == self._choice.serial:
            choice.trial = "-"
            _keep_choice(self._node, choice)
        self._node.features["update"].trial = None


class Trial:
    """This version is on trial."""

    def __init__(self, node):
        self._node = node
        settings = node.board.config["update"]
        self._steady_s = settings.get("steady_s", STEADY_S)
        self._ends_ms = 1000 * settings.get("trial_s", TRIAL_S)
        self._since_ms = None
        self._counted = None
        self._why = "no agent"

    async def run(self):
        """Task: confirm it, or go back to the version before."""
        node = self._node
        while True:
            await asyncio.sleep_ms(LOOK_MS)
            now_ms = node.clock.now_ms()
            if self._is_steady(now_ms) and not node.sealer.box.holds(0):
                if self._confirmed():
                    break
            elif now_ms > self._ends_ms and not interlocks.refused(node, interlocks.RESTART):
                choice = _choice(node)
                choice.left = 0
                choice.why = self._why
                _keep_choice(node, choice)
                node.restart()
                break
        node.features["update"].trial = None

    def _is_steady(self, now_ms):
        """Whether all sensors that may sample have done so on rate for long enough."""
        missed = late = missed_most = late_most = 0
        for sensor in self._node.sensors:
            if sensor.held:
                continue
            if sensor.driver is None:
                self._since_ms = None
                self._why = "sensor fault"
                return False
            samples = self._steady_s * 1000000 // (sensor.period_ns // 1000)
            missed += sensor.missed
            late += sensor.late
            missed_most += samples // MISSED_IN
            late_most += samples // LATE_IN
        if self._since_ms is not None:
            if missed - self._counted[0] <= missed_most and late - self._counted[1] <= late_most:
                steady = now_ms - self._since_ms >= 1000 * self._steady_s
                if steady:
                    self._why = "no agent"
                return steady
            self._why = "samples late"
        self._since_ms = now_ms
        self._counted = (missed, late)
        return False

    def _confirmed(self):
        """It stays: onto flash, then told."""
        node = self._node
        choice = _choice(node)
        choice.confirmed = choice.trial
        choice.trial = "-"
        if choice.floor == "-" or version_key(choice.floor) < version_key(VERSION):
            choice.floor = VERSION
        if not _keep_choice(node, choice):
            return False
        _tell(node, frames.EVENT_UPDATED, VERSION)
        return True
