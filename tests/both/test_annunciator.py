"""Light and sound of each priority, in the bounds of IEC 60601-1-8 (Tables 2 to 4)."""

import asyncio

from firmware import annunciator
from firmware.annunciator import CYAN, GAPS_MS, GREEN, LIGHTS, OFF, PULSE_MS, RED, YELLOW, Annunciator


class Asyncio:
    """In the place of asyncio: time passes only in sleep_ms, and then at once."""

    def __init__(self, world):
        self.world = world
        self.Event = asyncio.Event

    async def sleep_ms(self, ms):
        assert ms > 0
        self.world.ms += ms
        self.world.sleeps += 1
        self.world.tick()
        await asyncio.sleep(0)


class World:
    """The board; `signals`: (ms, light, sound) of each change; `script`: (ms, priority, sound)."""

    def __init__(self, script, end_ms):
        self.ms = self.sleeps = 0
        self.signals = []
        self.shown = (GREEN, 0)
        self.over = False
        self.script = list(script)
        self.end_ms = end_ms
        self.annunciator = Annunciator(self)

    def signal(self, light, sound):
        self.shown = (light, sound)
        if self.over:
            return
        if not self.signals or self.signals[-1][1:] != (light, sound):
            self.signals.append((self.ms, light, sound))

    def tick(self):
        while self.script and self.script[0][0] <= self.ms:
            _, priority, sound = self.script.pop(0)
            self.annunciator.show(priority, sound)

    async def _live(self):
        task = asyncio.create_task(self.annunciator.run())
        while self.ms < self.end_ms:
            before = self.ms
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self.ms == before:
                self.ms += 100
                self.tick()
        self.over = True
        task.cancel()
        await asyncio.sleep(0)

    def run(self):
        annunciator.asyncio = Asyncio(self)
        try:
            self.tick()
            asyncio.run(self._live())
        finally:
            annunciator.asyncio = asyncio
        return self

    def spans(self, of):
        """[from ms, length in ms] of what `of(light, sound)` is true for, the last left out."""
        spans = []
        for at, light, sound in self.signals + [(self.ms, OFF, 0)]:
            on = of(light, sound)
            if spans and spans[-1][1] < 0 and not on:
                spans[-1][1] = at - spans[-1][0]
            elif on and (not spans or spans[-1][1] >= 0):
                spans.append([at, -1])
        return spans[:-1]


def lit(light, sound):
    return light in (RED, YELLOW, CYAN)


def heard(light, sound):
    return sound


def test_colour_frequency_and_duty_of_the_light():
    for priority, colour, least_mhz, most_mhz in ((3, RED, 1400, 2800), (2, YELLOW, 400, 800)):
        world = World([(0, priority, True)], 20000).run()
        assert {light for _, light, _ in world.signals[1:]} <= {colour, OFF}
        spans = world.spans(lit)
        for i in range(len(spans) - 1):
            period = spans[i + 1][0] - spans[i][0]
            assert least_mhz <= 1000000 // period <= most_mhz
            assert 20 <= spans[i][1] * 100 // period <= 60
    world = World([(0, 1, True)], 60000).run()
    assert {light for at, light, _ in world.signals if at} == {CYAN}


def test_pulses_of_a_burst():
    for priority, pulses, least, most, between in (
        (3, 10, 75, 200, (2500, 15000)),
        (2, 3, 125, 250, (2500, 30000)),
        (1, 2, 125, 250, (15000, 60000)),
    ):
        world = World([(0, priority, True)], 70000).run()
        spans = world.spans(heard)
        assert all(least <= length <= most for _, length in spans)
        gaps = [spans[i + 1][0] - spans[i][0] - spans[i][1] for i in range(len(spans) - 1)]
        assert gaps[: pulses - 1] == list(GAPS_MS[priority][:-1])
        assert between[0] <= gaps[pulses - 1] <= between[1]
        assert gaps[pulses : 2 * pulses - 1] == gaps[: pulses - 1]
        if priority == 3:
            x = gaps[0]
            assert 50 <= x <= 125 and 350 <= gaps[4] <= 1300
            assert gaps[:4] == gaps[5:9] == [x, x, 2 * x + PULSE_MS[3], x]
        else:
            assert all(125 <= gap <= 250 for gap in gaps[: pulses - 1])


def test_asleep_and_green_while_there_is_none():
    world = World([], 60000).run()
    assert world.sleeps == 0 and world.signals == [(0, GREEN, 0)]


def test_silenced_the_light_stays():
    world = World([(0, 3, True), (10000, 3, False)], 40000).run()
    assert any(sound for at, _, sound in world.signals if at < 10000)
    assert not any(sound for at, _, sound in world.signals if at > 10600)
    assert any(light == RED for at, light, _ in world.signals if at > 30000)


def test_another_priority_is_shown_within_half_a_second_and_the_end_is_green():
    world = World([(0, 1, True), (5050, 3, True), (9050, 2, True), (15050, 0, False)], 20000).run()
    for at, light in ((5050, RED), (9050, YELLOW), (15050, GREEN)):
        assert any(at <= when <= at + 600 and shown == light for when, shown, _ in world.signals), light
    assert world.signals[-1][1:] == (GREEN, 0)
    assert LIGHTS == (GREEN, CYAN, YELLOW, RED)


def test_no_pulse_is_left_on_when_the_task_ends():
    for end_ms in range(100, 6000, 50):
        assert World([(0, 3, True)], end_ms).run().shown == (OFF, 0), end_ms
