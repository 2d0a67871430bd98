"""Alarms: once a second the rules (firmware/alarm_rules.py) over the readings, and an event frame for each
that begins, changes its priority, ends or stays latched.

Where a reading is missing, its rules wait. After HOLD_S their alarm ends, and what hides the reading is an
alarm of the same priority at once: a bad signal never silences. What it means for each cause: docs/alarms.md.

The flash record `latched` holds the event codes (a byte each) of alarms that a person has to see (ar.KEPT).
It is written as one of them begins and as it has been seen: every second write takes a hand on the button.
"""

from array import array

from firmware import alarm_rules as ar
from protocol import frames

# A condition must be gone for so long before its alarm ends, and a reading back before what hid it does.
CLEAR_S = 3
# A signal that is bad again and again is one alarm, also where it is good for less than that. What noise has
# left of a reading is to be believed after that only.
CLEAR_BLIND_S = 10
# There are readings from 15 (ECG) and 40 (pulse) on. Where noise takes beats away they are below this first.
GOOD_QUALITY = 50
# A missing reading does not end its alarm before that.
HOLD_S = 5
# A pulse that is older proves no heartbeat.
PULSE_MS = 3000
PAUSE_S = 120

LATCHED_RECORD = "latched"
BEFORE = "since before this start"

_RATE = 0
_SPO2 = 1
_CAUSES = len(ar.CAUSES)


class Alarms:
    """`sealer` and `clock` of the node; `settings`: its Settings; `repeat_bp()` asks for another measurement.

    `active`: the highest priority of an alarm that is there or latched, 0 none; `sounding`: whether it may be
    heard; `binding`: whether one of them is about the person or the cuff.
    """

    def __init__(self, sealer, clock, settings, repeat_bp=None):
        self._sealer = sealer
        self._clock = clock
        self._settings = settings
        self._repeat_bp = repeat_bp
        self._held = array("H", [0] * len(ar.RULES))  # seconds that each rule has been broken for
        self._gone = bytearray(len(ar.RULES))  # seconds that an `on` rule has been kept for
        self._on = bytearray(len(ar.RULES))
        self._top = array("b", [-1] * _CAUSES)  # the most urgent rule that holds, by cause
        self._number = array("H", [0] * _CAUSES)
        self._told = bytearray(_CAUSES)
        self._latched = bytearray(_CAUSES)
        self._seen = bytearray(_CAUSES)  # acknowledged while it was there
        self._began_us = [0] * _CAUSES
        self._last_number = 0
        self._second = clock.seconds
        self._blind = [0, 0]  # seconds without a rate, without SpO2
        # By so much a second counts: where a reading is good CLEAR_S of it will do, else CLEAR_BLIND_S.
        self._counts = bytearray(2)
        self._back = bytearray(2)  # what the seconds since a reading came back count for
        self._owed = [0, 0]  # the priority of the alarm that went with it
        self._pulse = False
        self._still = False
        self._rate = 0
        self._bp_number = 0
        self._suspect = self._confirmed = -1
        self._quiet_until = 0
        self._again = False
        self._kept = b""
        self.active = 0

    @property
    def sounding(self):
        """Whether there is an alarm that nobody has silenced."""
        return self.active > 0 and self._clock.seconds >= self._quiet_until

    @property
    def binding(self):
        """Whether an alarm about the person or the cuff is there or latched, or one that stands for it and
        nobody has seen yet.
        """
        if self._on[ar.FIBRILLATION] or (any(self._owed) and self.sounding):
            return True
        return any([self._number[cause] for cause in range(ar.BINDING)])

    def silence(self):
        """A person has seen it: no sound for PAUSE_S unless an alarm is new or rises; what is latched ends.
        False when there is no alarm.
        """
        if not self.active:
            return False
        self._quiet_until = self._clock.seconds + PAUSE_S
        for cause in range(_CAUSES):
            self._seen[cause] = self._number[cause] != 0
        # Of a pressure that is no alarm yet nobody can have seen one.
        if self._suspect >= 0 and self._seen[self._suspect]:
            self._suspect = -1
        if self._confirmed >= 0 and self._seen[self._confirmed]:
            self._confirmed = -1
        return True

    def again(self):
        """An agent has just connected: what is on, which is past to it, is told once more."""
        self._again = True

    def restore(self, codes, kept):
        """What nobody had seen as this boot began is on and told again. `kept`: what is on flash of it."""
        self._kept = kept
        for cause in ar.KEPT:
            if ar.CAUSES[cause] in codes:
                self._last_number += 1
                self._number[cause] = self._last_number
                self._told[cause] = frames.PRIORITY_HIGH
                self._latched[cause] = cause in ar.LATCHED
                self._again = True

    def keep(self, drain):
        """Bring what a person has to see onto flash where that has changed; `drain()`: before and after a
        write. Raises FlashError, once for each change.
        """
        unseen = [n for n in ar.KEPT if self._number[n] and not (n in ar.LATCHED and self._seen[n])]
        before, now = self._kept, bytes([ar.CAUSES[cause] for cause in unseen])
        if now != before:
            self._kept = now
            drain()
            try:
                self._settings.records.write(LATCHED_RECORD, now)
            except MemoryError:
                # The next second may have more room.
                self._kept = before
            drain()

    def second(self, readings):
        """The rules over what is known now; frames are sealed on the way."""
        now = self._clock.seconds
        elapsed = now - self._second
        if elapsed <= 0:
            return
        self._second = now
        elapsed = min(elapsed, CLEAR_S)
        self._take(readings, elapsed)
        for i in range(len(ar.RULES)):
            self._judge(i, readings, elapsed)
        self._hand_over(readings)
        # What begins is told before what ends: one may take the place of the other.
        top = self._top
        for cause in range(_CAUSES):
            top[cause] = -1
        for i in range(len(ar.RULES) - 1, -1, -1):
            if self._on[i]:
                top[ar.RULES[i][ar.CAUSE]] = i
        wanted = [ar.RULES[rule][ar.PRIORITY] if rule >= 0 else 0 for rule in top]
        for source in (_RATE, _SPO2):
            why = self._why(source, readings)
            wanted[why] = max(wanted[why], self._owed[source])
        # Light and sound do not wait for memory or numbers that a frame may not find.
        active = 0
        for cause in range(_CAUSES):
            if wanted[cause] > self._told[cause] or (wanted[cause] and self._latched[cause]):
                self._quiet_until = self._seen[cause] = 0
            latched = cause in ar.LATCHED and not self._seen[cause]
            active = max(active, wanted[cause] or (self._told[cause] if latched else 0))
        self.active = active
        if self._again:
            for cause in range(_CAUSES):
                if self._told[cause]:
                    state = frames.STATE_LATCHED if self._latched[cause] else frames.STATE_BEGAN
                    self._seal(state, cause, self._told[cause], top[cause], readings)
            self._again = False
        for ending in (False, True):
            for cause in range(_CAUSES):
                if ending == (wanted[cause] == 0):
                    self._tell(cause, wanted[cause], top[cause], readings)

    def _take(self, r, elapsed):
        """What is known of rate, pulse, SpO2 and pressure, and for how long it has not been."""
        self._pulse = bool(r.pulse_x10) and not r.ppg_bad and 0 <= r.since_pulse_ms < PULSE_MS
        self._rate = r.hr_x10 if r.hr_x10 and not r.cannot_analyse else r.pulse_x10 if self._pulse else 0
        self._still = r.asystole and not self._pulse and not (r.lead_off or r.ecg_fault or r.no_ecg)
        good = r.ecg_quality if self._rate == r.hr_x10 else r.ppg_quality
        self._counts[_RATE] = 4 if self._still or good >= GOOD_QUALITY else 1
        self._counts[_SPO2] = 4 if r.ppg_quality >= GOOD_QUALITY else 1
        for source, known in ((_RATE, self._rate or self._still), (_SPO2, r.spo2_x10)):
            if known:
                self._blind[source] = 0
                self._back[source] = min(self._back[source] + self._counts[source] * elapsed, CLEAR_BLIND_S)
            else:
                self._back[source] = 0
                self._blind[source] = min(self._blind[source] + elapsed, HOLD_S)
        if r.bp is not None and r.bp[2] != self._bp_number:
            self._pressure(r)

    def _pressure(self, r):
        """A new measurement: out of bounds for the first time it is repeated, the second time it counts."""
        found = -1
        for i in range(len(ar.RULES)):
            rule = ar.RULES[i]
            if not rule[ar.SENSE] or not ar.BP_HIGH <= rule[ar.CAUSE] <= ar.BP_LOW:
                continue
            if self._broken(i, r.bp[1 if i in ar.DIASTOLIC else 0]):
                found = rule[ar.CAUSE]
                break
        confirmed = found >= 0 and found in (self._suspect, self._confirmed)
        if found >= 0 and not confirmed and self._repeat_bp is not None:
            self._repeat_bp()
        # Behind all that wants memory: without it, the next second looks again.
        self._bp_number = r.bp[2]
        self._confirmed = found if confirmed else -1
        self._suspect = -1 if confirmed else found

    def _value(self, i, r):
        """What rule `i` looks at; None: not known now."""
        rule = ar.RULES[i]
        cause = rule[ar.CAUSE]
        if cause == ar.ASYSTOLE:
            return True if self._still else False if self._rate else None
        if cause <= ar.HR_LOW:
            return self._rate or None
        if cause == ar.SPO2_LOW:
            return r.spo2_x10 or None
        if cause <= ar.BP_LOW:
            if rule[ar.SENSE] == ar.IS:
                return self._suspect == cause
            if self._confirmed != cause:
                return False
            return r.bp[1 if i in ar.DIASTOLIC else 0]
        if cause <= ar.NOT_DEFLATING:
            return r.cuff_fault == ar.CAUSES[cause]
        if cause == ar.BATTERY:
            return False if r.charging else None if r.battery_pct < 0 else r.battery_pct
        if cause in (ar.ECG_FAULT, ar.LEAD_OFF, ar.ECG_BLIND):
            if r.no_ecg or r.ecg_fault:
                # On the charger nobody is watched, but where somebody should be that is an alarm.
                held = r.ecg_held and self._settings.mode != frames.MODE_WATCH
                return cause == ar.ECG_FAULT and not r.no_ecg and not held
            if r.lead_off:
                return cause == ar.LEAD_OFF
            if cause != ar.ECG_BLIND or self._still:
                return False
            if r.cannot_analyse:
                return 3 if self._pulse else r.cannot_analyse
            return -1 if not r.hr_x10 else 0
        if r.no_ppg or r.ppg_fault:
            return cause == ar.PPG_FAULT and not r.no_ppg
        if r.finger_off:
            return cause == ar.FINGER_OFF
        return cause == ar.PPG_BLIND and (r.ppg_bad or not r.spo2_x10)

    def limit(self, i):
        """(limit, delay in s) of rule `i`, as set."""
        rule = ar.RULES[i]
        return self._settings.levels.get(i) or (rule[ar.LIMIT], rule[ar.DELAY_S])

    def _broken(self, i, value):
        rule = ar.RULES[i]
        sense = rule[ar.SENSE]
        if value is False or sense == ar.IS:
            return bool(value)
        limit = self.limit(i)[0]
        slack = rule[ar.HYSTERESIS] if self._on[i] else 0
        if sense == ar.ABOVE:
            return value > limit - slack
        if sense == ar.REACHES:
            return value >= limit - slack
        if sense == ar.BELOW:
            return value < limit + slack
        if sense == ar.AT_MOST:
            return value <= limit + slack
        return value == limit

    def _judge(self, i, r, elapsed):
        rule = ar.RULES[i]
        value = self._value(i, r)
        if value is None:
            self._gone[i] = 0
            return
        if rule[ar.WATCH] and self._settings.mode != frames.MODE_WATCH:
            value = False
            self._gone[i] = CLEAR_BLIND_S
        cause = rule[ar.CAUSE]
        blind = cause in (ar.ECG_BLIND, ar.PPG_BLIND)
        delay_s = self.limit(i)[1]
        if self._broken(i, value):
            self._gone[i] = 0
            self._held[i] = min(self._held[i] + elapsed, delay_s + CLEAR_BLIND_S)
            if self._held[i] >= delay_s:
                self._on[i] = 1
            return
        # Seconds of a bad signal add up, and are taken off one by one: no reading has its time between them.
        # None is taken off while there is no reading for another reason: what is loose would never be told.
        missing = self._missing(cause, r)
        if not missing:
            self._held[i] = max(self._held[i] - elapsed, 0) if blind else 0
        if self._on[i]:
            measured = cause <= ar.SPO2_LOW
            if measured:
                elapsed *= self._counts[_SPO2 if cause == ar.SPO2_LOW else _RATE]
            self._gone[i] = min(self._gone[i] + elapsed, CLEAR_BLIND_S)
            if self._gone[i] >= (CLEAR_BLIND_S if blind or missing or measured else CLEAR_S):
                self._on[i] = 0

    def _missing(self, cause, r):
        """Whether the signal that `cause` is about gives no reading. What is taken off in a spot check need
        give none.
        """
        if not ar.LEAD_OFF <= cause <= ar.PPG_BLIND:
            return False
        ppg = cause in (ar.FINGER_OFF, ar.PPG_FAULT, ar.PPG_BLIND)
        if self._settings.mode != frames.MODE_WATCH and (r.finger_off if ppg else r.lead_off or r.ecg_held):
            return False
        return not (r.spo2_x10 if ppg else r.hr_x10)

    def _hand_over(self, r):
        """What hides a reading inherits its alarm; a heart that stands still has no rate to be alarmed at."""
        for source, first, last in ((_RATE, ar.ASYSTOLE, ar.HR_LOW), (_SPO2, ar.SPO2_LOW, ar.SPO2_LOW)):
            why = self._why(source, r)
            off = why in (ar.LEAD_OFF, ar.FINGER_OFF) or (why == ar.ECG_FAULT and r.ecg_held)
            off = off and self._settings.mode != frames.MODE_WATCH
            ended = self._still and source == _RATE
            if ended or self._blind[source] >= HOLD_S:
                for i in range(1 if ended else 0, len(ar.RULES)):
                    if first <= ar.RULES[i][ar.CAUSE] <= last:
                        if self._on[i]:
                            self._owed[source] = max(self._owed[source], ar.RULES[i][ar.PRIORITY])
                            self._on[i] = 0
                        elif off or self._held[i] < self.limit(i)[1]:
                            # Of one that was on the time is not begun anew: it is at once as it was.
                            self._held[i] = 0
            # Until there is a rate, fibrillation is not known to be over.
            if source == _RATE and self._on[ar.FIBRILLATION]:
                self._owed[source] = frames.PRIORITY_HIGH
            if ended or off or self._back[source] >= CLEAR_BLIND_S:
                self._owed[source] = 0

    def _why(self, source, r):
        """The cause that hides the rate or SpO2."""
        ecg = source == _RATE and not r.no_ecg
        if ecg and not r.ecg_fault and not r.lead_off:
            return ar.ECG_BLIND
        if not (r.no_ppg or r.ppg_fault or r.finger_off):
            return ar.PPG_BLIND
        if ecg:
            return ar.ECG_FAULT if r.ecg_fault else ar.LEAD_OFF
        return ar.PPG_FAULT if r.ppg_fault else ar.FINGER_OFF

    def _tell(self, cause, priority, rule, r):
        """Seal what has changed of the alarm of `cause`, if anything has."""
        if priority:
            if self._told[cause] == priority and not self._latched[cause]:
                return
            if not self._number[cause]:
                self._last_number = self._last_number % 0xFFFF + 1
                self._number[cause] = self._last_number
                self._began_us[cause] = self._clock.now_us()
            elif not self._began_us[cause] and cause in ar.LATCHED:
                # It was another boot's, and is this one's, too.
                self._began_us[cause] = self._clock.now_us()
            self._seal(frames.STATE_BEGAN, cause, priority, rule, r)
            self._told[cause] = priority
            self._latched[cause] = 0
        elif self._number[cause]:
            if cause in ar.LATCHED and not self._seen[cause]:
                if not self._latched[cause]:
                    self._seal(frames.STATE_LATCHED, cause, self._told[cause], rule, r)
                    self._latched[cause] = 1
                return
            self._seal(frames.STATE_ENDED, cause, self._told[cause], rule, r)
            self._number[cause] = self._told[cause] = self._latched[cause] = 0
            self._began_us[cause] = 0

    def _seal(self, state, cause, priority, rule, r):
        more = {
            frames.EVENT_STATE: state,
            frames.EVENT_ALARM: self._number[cause],
            frames.EVENT_BEGAN_US: self._began_us[cause],
        }
        if r.seqs[1]:
            more[frames.EVENT_EVIDENCE] = [list(r.seqs)]
        value = None
        if rule >= 0 and ar.RULES[rule][ar.SENSE] not in (ar.IS, ar.EQUALS):
            value = self._value(rule, r)
            if value is False:
                # A rule outlasts what it looks at by some seconds.
                value = None
            more[frames.EVENT_LIMIT] = self.limit(rule)[0]
        elif cause == ar.ASYSTOLE and rule >= 0 and r.since_beat_ms >= 0:
            value = r.since_beat_ms
            more[frames.EVENT_LIMIT] = ar.RULES[0][ar.LIMIT]
        elif cause == ar.ECG_BLIND and r.cannot_analyse:
            value = r.cannot_analyse
        text = None
        if cause in (ar.ECG_FAULT, ar.PPG_FAULT):
            text = "ECG" if cause == ar.ECG_FAULT else "PPG"
        elif not self._began_us[cause]:
            text = BEFORE
        self._sealer.event(ar.CAUSES[cause], priority, value, text, more)
