"""A task that dies: how long it rests before it is started again."""

from firmware import tasks

TICKS = 1 << 30


class Host:
    """In the place of `time` and `asyncio`: a clock that only this moves, and sleeps that are noted."""

    def __init__(self):
        self.now = TICKS - 1000
        self.slept = []

    def ticks_ms(self):
        return self.now % TICKS

    def ticks_diff(self, end, start):
        half = TICKS // 2
        return (end - start + half) % TICKS - half

    async def sleep_ms(self, ms):
        self.slept.append(ms)
        self.now += ms


def rests(lives_ms):
    """How long it rested after each of these lives; it then returns by itself."""
    host, lives, deaths = Host(), list(lives_ms), []

    async def task():
        if not lives:
            return "done"
        host.now += lives.pop(0)
        raise MemoryError("short")

    plain = tasks.time, tasks.asyncio
    tasks.time = tasks.asyncio = host
    try:
        tasks.keep_alive("task", task, lambda name, error: deaths.append(name)).send(None)
    except StopIteration as end:
        assert end.value == "done"
    finally:
        tasks.time, tasks.asyncio = plain
    assert deaths == ["task"] * len(lives_ms)
    return host.slept


def test_one_that_dies_at_once_rests_ever_longer():
    assert rests([0] * 9) == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
    assert rests([tasks.STEADY_MS - 1] * 3) == [500, 1000, 2000]


def test_one_that_has_lived_a_while_rests_as_at_first():
    for long in (tasks.STEADY_MS, 3600000, TICKS // 2 + 5):
        assert rests([0, 0, 0, long, 0, 0]) == [500, 1000, 2000, 500, 1000, 2000], long


def test_one_that_dies_now_and_then_does_not_rest_until_the_watchdog_bites():
    """A moment without memory every quarter of a minute is no reason to end a boot."""
    assert rests([15000] * 20) == [500] * 20
