"""A cuff that is bled, and how a run that went wrong is judged from the plant."""

from tests.both.cuff_world import started

SECOND = 1000000


def deflating(pressure=130, **options):
    """A measurement that bleeds, down to `pressure` mmHg."""
    world = started(90, **options)
    world.run(60, until=lambda: not world.plant.pump_running)
    world.run(60, until=lambda: world.plant.cuff_mmhg < pressure)
    assert world.plant.cuff_mmhg > pressure - 5 and not world.results()
    return world


def judge(world, since_us, shout=True, pump=True):
    """The rest of that run, and its judgement. `shout`: it must be heard at once; `pump`: that stops at
    once.
    """
    world.run(200, until=world.over)
    world.run(6)
    assert not pump or world.pump_off_after(since_us) <= SECOND, world.pump_off_after(since_us)
    assert world.highest() < 300
    assert world.inflated_for() is not None and world.inflated_for() <= 180
    assert not world.plant.pump_running and world.plant.cuff_mmhg < 15
    if shout:
        heard = [t for t in (world.buzzer_after(since_us), world.event_after(since_us)) if t is not None]
        assert heard and min(heard) <= 5 * SECOND, (heard, world.events)
    return world
