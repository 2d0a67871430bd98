"""The kit's light and buzzer, as IEC 60601-1-8:2006 (+ A1, A2) encodes the priority of an alarm.

Light (Table 2): high – red, flashing at 1.4 to 2.8 Hz; medium – yellow, at 0.4 to 0.8 Hz, both lit for 20 to
60 % of the time; low – cyan, constant. Sound (Tables 3 and 4), in bursts of pulses: high – ten, in groups of
3, 2, 3 and 2, each 75 to 200 ms long, 50 to 125 ms apart (x; 2x and a pulse behind the third, 0.35 to 1.3 s
behind the fifth), again after 2.5 to 15 s; medium – three of 125 to 250 ms, as far apart, again after 2.5 to
30 s; low – one or two, again after more than 15 s. Pitch and harmonics are the buzzer's.

Without an alarm the light shows what the kit has to say of itself (firmware/indications.py): flashes of
another colour, and where there is one light only, flashes with a pause behind them that no alarm has.
"""

import asyncio

from firmware.indications import GREEN, OK, PATTERNS

OFF = 0
RED = 1
YELLOW = 2
CYAN = 3

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

SHORT_MS = 150
LONG_MS = 600
GAP_MS = 250
PAUSE_MS = 1800
CALM_MS = 4000
"""A flash, a long one, the dark behind each, the dark behind a pattern, and behind that of OK."""


class Annunciator:
    """Shows one priority on `board`, or else one state: `signal(light, sound)` with the colours of this
    module and of indications, sound 0 or 1; `lights`, where it has that: how many there are to mix colours
    of, 0 to 3.
    """

    def __init__(self, board):
        self._board = board
        self._lights = getattr(board, "lights", 3)
        self._changed = asyncio.Event()
        self.priority = 0
        self.sound = False
        self.state = OK

    def show(self, priority, sound):
        """The highest priority there is (0 none to 3), and whether it may be heard."""
        if priority != self.priority or sound != self.sound:
            self.priority = priority
            self.sound = sound
            self._changed.set()

    def indicate(self, state):
        """What to show while there is no alarm."""
        if state != self.state:
            self.state = state
            if not self.priority:
                self._changed.set()

    async def run(self):
        """The task: asleep while there is neither an alarm nor anything to flash."""
        try:
            while True:
                self._changed.clear()
                if self.priority:
                    await self._signal(self.priority, self.sound)
                else:
                    await self._indicate()
        finally:
            # Pins stay as they are: without this the buzzer would go on where a pulse was cut off.
            self._board.signal(OFF, 0)

    async def _indicate(self):
        """One state, until another is to be shown."""
        colour = PATTERNS[self.state] >> 4
        if not self._lights or (self.state == OK and self._lights > 1):
            self._board.signal(colour, 0)
            await self._changed.wait()
            return
        longs = colour - GREEN if self._lights == 1 else 0
        # What was shown before is no part of the pattern.
        self._board.signal(OFF, 0)
        await self._rest(PAUSE_MS)
        while not self._changed.is_set():
            for i in range(longs + (PATTERNS[self.state] & 15)):
                self._board.signal(colour, 0)
                await self._rest(LONG_MS if i < longs else SHORT_MS)
                self._board.signal(OFF, 0)
                await self._rest(GAP_MS)
                if self._changed.is_set():
                    return
            await self._rest(CALM_MS if self.state == OK else PAUSE_MS)

    async def _rest(self, ms):
        """Wait, unless another is to be shown."""
        while ms > 0 and not self._changed.is_set():
            await asyncio.sleep_ms(min(ms, LOOK_MS))
            ms -= LOOK_MS

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
