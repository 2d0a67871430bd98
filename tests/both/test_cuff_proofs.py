"""What a run proves before it inflates, a pump that does not obey its pin, and the frame that a run which
fails leaves: judged from the plant, as tests/both/test_cuff_faults.py.
"""

import gc

from tests.both.cuff_judge import deflating, judge
from tests.both.cuff_world import World, rested, started


def setup_module():
    if hasattr(gc, "threshold"):
        # The plant calculates with floats, which are objects.
        gc.threshold(100000)


def test_the_sensor_sticks_while_a_slack_cuff_fills():
    for mmhg in (1, 3, 5, 7):
        world = rested()
        world.press()
        world.run(30, until=lambda world=world, mmhg=mmhg: world.plant.cuff_mmhg > mmhg)
        world.plant.sensor_stuck = world.plant.manifold_mmhg
        judge(world, world.us)
        assert world.highest() < 15


def test_the_sensor_sticks_where_the_strokes_end():
    # With a zero that is low the interlock sees 8 mmHg later than the measurement.
    for zero, mmhg in ((0, 8.1), (-5.5, 8.5), (-5.5, 13)):
        world = World()
        world.chip.offset_mmhg = zero
        rested(world)
        world.press()
        world.run(30, until=lambda world=world, mmhg=mmhg: world.plant.manifold_mmhg > mmhg)
        world.plant.sensor_stuck = mmhg
        judge(world, world.us)
        assert world.highest() < 25


def test_a_cuff_of_a_large_arm_is_filled():
    world = started(cuff_ml=350.0)
    assert world.feature.safety.fault == 0 and not world.results()


def test_the_sensor_shows_an_empty_cuff_once_it_was_filled():
    world = rested()
    world.press()
    world.run(30, until=lambda: world.plant.cuff_mmhg > 15 and world.pins["RELEASE"] == 0)
    world.plant.sensor_stuck = 0.3
    world.run(5, until=lambda: world.pins["PUMP"])
    judge(world, world.us)
    assert world.highest() < 40


def test_a_way_out_that_is_shut_from_the_start_is_found_at_20_mmhg():
    for name in ("valve_stuck", "release_stuck"):
        world = rested()
        setattr(world.plant, name, "shut")
        world.press()
        world.run(30, until=lambda world=world: world.plant.manifold_mmhg > 20)
        judge(world, world.us)
        assert world.feature.fault == 49 and world.highest() < 30 and world.results()[0][1] == 5


def test_the_pump_cannot_be_stopped_by_its_pin():
    world = started()
    world.plant.pump_stuck = True
    world.run(60, until=lambda: world.pins["PUMP"] == 0)
    judge(world, world.us)
    # It goes on at the duty that it had.
    world = started()
    world.deaf_pins = ("PUMP",)
    world.run(60, until=lambda: not world.feature.safety._duty)
    judge(world, world.us)


def test_the_pump_begins_to_turn_while_the_valve_bleeds():
    for mmhg in (130, 100, 60):
        world = deflating(mmhg)
        world.plant.pump_stuck = True
        judge(world, world.us)
        assert world.results()[0][1] == 9


def test_a_pump_that_turns_whatever_its_pin_says_inflates_nothing():
    world = rested()
    world.plant.pump_stuck = True
    world.press()
    world.run(10, until=lambda: world.plant.pump_running)
    judge(world, world.us)
    assert world.feature.fault and world.results()[0][1] == 11 and world.highest() < 5


def test_a_monostable_that_does_not_end_is_found_before_anything_is_inflated():
    world = rested()
    world.plant.monostable_stuck = True
    world.press()
    world.run(20)
    assert world.feature.fault and world.results()[0][1] == 11
    assert world.highest() < 8 and not world.plant.pump_running
    world.run(60)
    assert world.highest() < 8


def test_a_task_that_fails_leaves_a_frame():
    world = started()
    began_us = world.us
    seal = world.node.sealer.seal

    def fails(times):
        def refuse(*_):
            world.node.sealer.seal = refuse if len(world.deaths) + 1 < times else seal
            raise MemoryError("short")

        return refuse

    world.node.sealer.seal = fails(1)
    world.run(10, until=lambda: world.deaths)
    body = judge(world, began_us, pump=False).results()[0]
    assert body[1] == 11 and body[8] > 1000 and body[11] == 1 and len(world.results()) == 1
    # What it cannot tell at once it tells as soon as it lives again.
    world = started()
    seals = [world.node.sealer.seal]

    def refuse(*_):
        if len(seals) == 2:
            world.node.sealer.seal = seals[0]
        seals.append(None)
        raise MemoryError("short")

    world.node.sealer.seal = refuse
    world.run(10, until=world.results)
    assert len(world.deaths) == 1 and [body[1] for body in world.results()] == [11]
    assert world.results()[0][11] == 1
