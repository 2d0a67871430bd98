"""An alarm engine with everything around it faked: a clock by hand, frames in a list."""

from firmware.alarms import Alarms
from firmware.readings import Readings
from protocol import frames as f


class Clock:
    seconds = 0

    def now_us(self):
        return self.seconds * 1000000


class Settings:
    def __init__(self, mode):
        self.mode = mode
        self.levels = {}


class World:
    """`events`: (second, body) of each event frame. `r`: the readings, of a healthy person to begin with."""

    def __init__(self, mode=f.MODE_WATCH):
        self.clock = Clock()
        self.settings = Settings(mode)
        self.events = []
        self.repeats = 0
        self.fails = 0
        self.alarms = Alarms(self, self.clock, self.settings, self.repeat)
        r = self.r = Readings()
        r.no_ecg = r.no_ppg = r.lead_off = r.finger_off = False
        r.hr_x10 = r.pulse_x10 = 720
        r.spo2_x10 = 970
        r.pi_x100 = 200
        r.ecg_quality = r.ppg_quality = 90
        r.since_beat_ms = r.since_pulse_ms = 500
        r.battery_pct = 80
        r.seqs = (100, 5)

    def event(self, code, priority, value=None, text=None, more=None):
        if self.fails:
            self.fails -= 1
            raise MemoryError
        body = {f.EVENT_CODE: code, f.EVENT_PRIORITY: priority}
        if more:
            body.update(more)
        if value is not None:
            body[f.EVENT_VALUE] = value
        if text:
            body[f.EVENT_TEXT] = text
        self.events.append((self.clock.seconds, body))

    def repeat(self):
        self.repeats += 1

    def run(self, seconds, **readings):
        """Let time pass with these readings; what was told meanwhile as (second, code, state, priority)."""
        for name in readings:
            assert hasattr(self.r, name), name
            setattr(self.r, name, readings[name])
        before = len(self.events)
        for _ in range(seconds):
            self.clock.seconds += 1
            self.alarms.second(self.r)
        return [told(event) for event in self.events[before:]]

    def stand_still(self, seconds):
        """A heart that does not beat, with good contact and a finger in the sensor."""
        return self.run(
            seconds, asystole=True, hr_x10=0, pulse_x10=0, spo2_x10=0, since_beat_ms=4000, since_pulse_ms=4000
        )

    def well(self, seconds):
        return self.run(
            seconds,
            asystole=False,
            cannot_analyse=0,
            ppg_bad=False,
            lead_off=False,
            finger_off=False,
            hr_x10=720,
            pulse_x10=720,
            spo2_x10=970,
            since_beat_ms=500,
            since_pulse_ms=500,
        )


def told(event):
    second, body = event
    return second, body[f.EVENT_CODE], body[f.EVENT_STATE], body[f.EVENT_PRIORITY]
