"""The kit's light and buzzer, as IEC 60601-1-8:2006 (+ A1, A2) encodes the priority of an alarm.

Light (Table 2): high – red, flashing at 1.4 to 2.8 Hz; medium – yellow, at 0.4 to 0.8 Hz, both lit for 20 to
60 % of the time; low – cyan, constant. Sound (Tables 3 and 4), in bursts of pulses: high – ten, in groups of
3, 2, 3 and 2, each 75 to 200 ms long, 50 to 125 ms apart (x; 2x and a pulse behind the third, 0.35 to 1.3 s
behind the fifth), again after 2.5 to 15 s; medium – three of 125 to 250 ms, as far apart, again after 2.5 to
30 s; low – one or two, again after more than 15 s. Pitch and harmonics are the buzzer's. No alarm: green.
"""

import asyncio

OFF = 0
RED = 1
YELLOW = 2
CYAN = 3
GREEN = 4

LIGHTS = (GREEN, CYAN, YELLOW, RED)
"""The colour of each priority, from none to high."""
FLASH_MS = (0, 0, 800, 250)
"""Half a period of the flashing, by priority; 0: constant."""
PULSE_MS = (0, 200, 200, 120)
GAPS_MS = (
    (),
    (180, 30000),
    (180, 180, 8000),
    (80, 80, 280, 80, 600, 80, 80, 280, 80, 5000),
)
"""The pauses behind the pulses of a burst, by priority; the last until the next burst."""
# A change of priority is heard of after that, at the latest.
LOOK_MS = 500


class Annunciator:
    """Shows one priority on `board`: `signal(light, sound)` with the colours of this module, sound 0 or 1."""

    def __init__(self, board):
        self._board = board
        self._changed = asyncio.Event()
        self.priority = 0
        self.sound = False

    def show(self, priority, sound):
        """The highest priority there is (0 none to 3), and whether it may be heard."""
        if priority != self.priority or sound != self.sound:
            self.priority = priority
            self.sound = sound
            self._changed.set()

    async def run(self):
        """The task: asleep while there is no alarm."""
        try:
            while True:
                self._changed.clear()
                if self.priority:
                    await self._signal(self.priority, self.sound)
                else:
                    self._board.signal(GREEN, 0)
                    await self._changed.wait()
        finally:
            # Pins stay as they are: without this the buzzer would go on where a pulse was cut off.
            self._board.signal(OFF, 0)

    async def _signal(self, priority, sound):
        """One priority, until another is to be shown."""
        half = FLASH_MS[priority] or LOOK_MS
        gaps = GAPS_MS[priority]
        lit = True
        heard = False
        pulse = -1
        light_ms = half
        sound_ms = 0
        while not self._changed.is_set():
            if sound and sound_ms <= 0:
                heard = not heard
                if heard:
                    pulse = (pulse + 1) % len(gaps)
                sound_ms += PULSE_MS[priority] if heard else gaps[pulse]
            if light_ms <= 0:
                lit = not lit or not FLASH_MS[priority]
                light_ms += half
            self._board.signal(LIGHTS[priority] if lit else OFF, 1 if heard else 0)
            wait_ms = min(light_ms, sound_ms, LOOK_MS) if sound else min(light_ms, LOOK_MS)
            await asyncio.sleep_ms(wait_ms)
            light_ms -= wait_ms
            sound_ms -= wait_ms
