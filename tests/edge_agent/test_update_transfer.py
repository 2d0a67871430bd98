"""One update to one node: lost messages, resume points, what a hostile node costs, and how fast it goes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from edge_agent.updates import rollout
from edge_agent.updates.courses import Course
from edge_agent.updates.pacing import DEPTH, MESSAGE, Bucket
from edge_agent.updates.transfer import (
    APPLIED,
    CHUNK,
    FAILED,
    HAS,
    MAX_ABSURD,
    MOST_TIMES,
    OFFERING,
    REFUSED,
    SENDING,
    WINDOW,
    Transfer,
)
from protocol import frames
from protocol.update import place
from tests.edge_agent.test_update_rollout import finished, make  # noqa: F401
from tests.edge_agent.update_world import ModelNode, World, signed, some_files

BOOT = b"\0\0\0\1" + bytes(8)


def transfer(files: dict[str, bytes]) -> Transfer:
    made = signed("1.1.0", files)
    return Transfer(made.id, made.version, [made.manifest, *made.files])


class Wire:
    """A transfer and a node, with messages that are lost, come late, twice and out of turn."""

    def __init__(self, one: Transfer, node: ModelNode, seed: int = 1, loss: float = 0.0) -> None:
        self.one = one
        self.node = node
        self.chance = random.Random(seed)
        self.loss = loss
        self.now = 0
        self.seq = 0
        self.down: list[dict] = []
        self.up: list[tuple[int, dict]] = []
        self.unanswered = 0

    def turn(self) -> None:
        self.now += 20
        body = self.one.next(self.now)
        if body is not None:
            if body[frames.UPDATE_STEP] == frames.STEP_DATA:
                assert len(body[frames.UPDATE_DATA]) <= CHUNK
                self.unanswered += 1
                assert self.unanswered <= WINDOW, "more than the window unanswered"
            else:
                self.unanswered = 0
            if self.chance.random() >= self.loss:
                self.down.append(body)
        while self.down and self.chance.random() < 0.6:
            answer = self.node.take(self.down.pop(0))
            if answer is not None:
                self.seq += 1
                # A frame is sent until it is acknowledged: late and twice, never lost.
                self.up += [(self.seq, answer)] * self.chance.choice((1, 1, 2))
        while self.up and self.chance.random() < 0.6:
            at = self.chance.randrange(min(2, len(self.up)))
            self.one.answered(BOOT, *self.up.pop(at), self.now)
            self.unanswered = 0

    def run(self, turns: int = 100_000) -> Transfer:
        for _ in range(turns):
            if self.one.ended:
                return self.one
            self.turn()
        raise AssertionError(self.one.phase)


@settings(max_examples=40, deadline=None)
@given(
    sizes=some.lists(some.sampled_from([0, 1, 127, 128, 129, 1024, 3000]), min_size=1, max_size=6),
    has=some.sets(some.integers(0, 5)),
    loss=some.sampled_from([0.0, 0.1, 0.2]),
    seed=some.integers(0, 1000),
)
def test_whatever_is_lost_every_byte_arrives_and_what_is_there_is_not_sent(sizes, has, loss, seed):
    files = some_files(tuple(sizes))
    contents = [data for _, data in sorted(files.items())]
    there = tuple(contents[n] for n in has if n < len(contents))
    node = ModelNode(has=there)
    one = Wire(transfer(files), node, seed, loss).run()
    assert one.phase == APPLIED and node.applied >= 1
    assert node.objects[1:] == contents
    if not loss:
        sent = {number for number, _ in node.took}
        mine = {n + 1 for n, data in enumerate(contents) if data and data not in there}
        assert mine <= sent <= {0} | mine, "a file went that the node has"


def test_a_reconnection_asks_where_to_go_on():
    node = ModelNode()
    wire = Wire(transfer(some_files((5000,))), node)
    while len(node.took) < 20:
        wire.turn()
    wire.down.clear()
    wire.one.connected()
    assert wire.one.phase == OFFERING
    took = len(node.took)
    assert wire.run().phase == APPLIED
    assert node.objects[1] == next(iter(some_files((5000,)).values()))
    assert wire.one.sent_bytes <= wire.one.size + WINDOW * CHUNK and took >= 20


def answered(
    one: Transfer, result: int, value: object = None, seq: int = 0, detail: str | None = None
) -> None:
    body: dict = {frames.ANSWER_ID: one.id, frames.ANSWER_RESULT: result}
    if value is not None:
        body[frames.ANSWER_VALUE] = value
    if detail is not None:
        body[frames.ANSWER_DETAIL] = detail
    answered.seq = max(seq, getattr(answered, "seq", 0) + 1)
    one.answered(BOOT, answered.seq, body, answered.seq)


@pytest.mark.parametrize("value", [-1, place(200, 0), place(0, 4_000_000), place(4, 1), (1 << 62), None])
def test_places_that_there_are_not_move_nothing_and_end_it(value):
    one = transfer(some_files())
    one.next(0)
    for n in range(MAX_ABSURD):
        assert one.phase == OFFERING and one.sent_bytes == 0, n
        answered(one, frames.RESULT_BEGUN, value)
    assert one.phase == FAILED and "places that there are not" in one.why


@pytest.mark.parametrize(
    ("result", "phase", "why"),
    [
        (frames.RESULT_UNSUPPORTED, REFUSED, "not supported: for another board"),
        (frames.RESULT_UNAUTHORISED, REFUSED, "not authorised: for another board"),
        (frames.RESULT_FAILED, FAILED, "for another board"),
        (frames.RESULT_EXPIRED, OFFERING, ""),
        (frames.RESULT_MALFORMED, REFUSED, "malformed: for another board"),
        (200, REFUSED, "result 200: for another board"),
        (frames.RESULT_DONE, HAS, ""),
    ],
)
def test_what_a_node_says_to_an_offer(result, phase, why):
    one = transfer(some_files())
    one.next(0)
    answered(one, result, detail="for another board")
    assert (one.phase, one.why) == (phase, why) and (one.next(10**9) is None) == (phase != OFFERING)


def test_an_interlock_is_waited_for():
    node = ModelNode()
    node.busy = 3
    wire = Wire(transfer(some_files()), node)
    assert wire.run().phase == APPLIED
    assert wire.now > 3 * 30_000 and node.applied == 1


def test_who_asks_for_the_same_again_and_again_gets_it_only_so_often():
    one = transfer(some_files((2000,)))
    now = sent = 0
    while not one.ended:
        now += 10
        body = one.next(now)
        sent += body is not None
        answered(one, frames.RESULT_BEGUN, place(1, 0))
    assert one.phase == FAILED and "again and again" in one.why
    assert one.sent_bytes <= MOST_TIMES * one.size + (WINDOW + 1) * CHUNK


def test_an_older_answer_that_comes_later_changes_nothing():
    one = transfer(some_files((1000,)))
    one.next(0)
    one.answered(BOOT, 5, {1: one.id, 2: frames.RESULT_BEGUN, 4: place(1, 640)}, 1)
    one.answered(BOOT, 4, {1: one.id, 2: frames.RESULT_BEGUN, 4: place(1, 128)}, 2)
    one.answered(BOOT, 3, {1: one.id, 2: frames.RESULT_UNSUPPORTED}, 3)
    assert one.phase == SENDING and one.next(4)[frames.UPDATE_OFFSET] == 640
    one.answered(b"\0\0\0\2" + bytes(8), 0, {1: one.id, 2: frames.RESULT_BEGUN, 4: place(1, 0)}, 5)
    assert one.next(6)[frames.UPDATE_OFFSET] == 0, "a later boot's word counts"


def test_a_boot_after_an_apply_is_the_trial():
    one = transfer(some_files())
    one.rebooted()
    assert one.phase == OFFERING
    one.next(0)
    answered(one, frames.RESULT_BEGUN, place(4, 0))
    assert one.next(1)[frames.UPDATE_STEP] == frames.STEP_APPLY
    one.rebooted()
    assert one.phase == APPLIED


def test_a_silent_node_is_asked_ever_more_seldom():
    one = transfer(some_files())
    asked = [now for now in range(0, 600_000, 1000) if one.next(now) is not None]
    assert asked == [0, 5_000, 15_000, 35_000, 75_000, *range(135_000, 600_000, 60_000)]
    asked = [now for now in range(600_000, 3_600_000, 1000) if one.next(now) is not None]
    assert len(asked) == 3 and one.phase == FAILED and one.why == "it does not answer"


@pytest.mark.parametrize("same_boot", [True, False])
def test_silence_counts_against_a_node_that_begins_anew_at_each_question_and_not_against_its_link(same_boot):
    one = transfer(some_files())
    for now in range(100):
        one.connected(same_boot)
        one.next(now)
    assert one.ended is not same_boot
    assert same_boot or one.why == "it does not answer"


def hostile_flood(_: ModelNode, body: dict) -> dict:
    chance = random.Random(body[frames.UPDATE_STEP])
    return {1: body[1], 2: frames.RESULT_BEGUN, 4: chance.choice([-5, 1 << 40, place(0, 0), place(1, 1)])}


@pytest.mark.parametrize(
    "answer",
    [
        hostile_flood,
        lambda _, body: {1: body[1], 2: frames.RESULT_BEGUN, 4: 1 << 62},
        lambda _, body: {1: body[1], 2: frames.RESULT_BEGUN},
        lambda _, body: {1: bytes(8), 2: frames.RESULT_DONE},
        lambda _, body: {1: body[1], 2: 99, 3: "x" * 64},
        lambda *_: None,
    ],
    ids=["flood", "absurd", "no place", "another's", "unknown", "nothing"],
)
def test_a_hostile_node_costs_the_others_nothing(make, answer):  # noqa: F811
    models = [ModelNode() for _ in range(5)]
    models[2].answer = answer
    world: World = make(models, confirm_percent=0)
    world.add("1.1.0")
    world.start()
    world.until(lambda: world.states.get("confirmed") == 4)
    link = world.links[next(node for node, one in world.links.items() if one.model is models[2])]
    world.until(lambda: world.states.get(rollout.CONFIRMED) == 4 and world.now > 400_000)
    size = sum(map(len, some_files().values())) + 1000
    assert link.passed < 3 * (MOST_TIMES + 1) * size * 2


def test_messages_that_are_lost_are_sent_again_in_a_roll_out(make):  # noqa: F811
    world: World = make([ModelNode() for _ in range(4)])
    for link in world.links.values():
        link.lossy = 0.3
    world.add("1.1.0", some_files((3000, 10)))
    world.start()
    world.until(lambda: finished(world))
    assert world.states == {"confirmed": 4}


def test_nothing_goes_while_an_alarm_is_on_the_backlog_comes_or_the_battery_is_low(make):  # noqa: F811
    model = ModelNode()
    world: World = make([model])
    world.add("1.1.0", some_files((4000,)))
    world.start()
    (node,) = world.links
    view = world.hub.view(node)

    def stands(why: str) -> bool:
        world.turn()
        took = len(model.took)
        for _ in range(100):
            world.turn()
            if why == "backlog":
                world.updates.courses.backlog(node)
        held = world.updates.courses.open[node].hold
        return len(model.took) == took and why in held.replace("what it kept while it was away", "backlog")

    def goes_on() -> None:
        took = len(model.took)
        world.until(lambda: len(model.took) > took)

    goes_on()
    event = {1: frames.EVENT_SPO2_LOW, 2: frames.PRIORITY_HIGH, 6: frames.STATE_BEGAN, 7: 1}
    view.said(BOOT, 50, (frames.KIND_EVENT, 1, event), world.now * 1000)
    assert stands("an alarm is on")
    view.said(BOOT, 51, (frames.KIND_EVENT, 2, event | {6: frames.STATE_ENDED}), world.now * 1000)
    goes_on()
    assert stands("backlog")
    goes_on()
    view.status = {"battery_pct": 12, "charging": False}
    assert stands("battery is at 12 %")
    view.status = {"battery_pct": 12, "charging": True}
    goes_on()
    world.until(lambda: finished(world))


def test_the_share_is_kept_to_the_byte():
    bucket, taken, chance = Bucket(1152, 0), 0, random.Random(3)
    for now in range(0, 600_000, 7):
        if bucket.ready_in_ms(now) == 0:
            size = chance.randint(40, MESSAGE)
            bucket.took(size)
            taken += size
        assert taken <= MESSAGE + DEPTH + 1152 * now / 1000
    assert taken > 0.95 * 1152 * 600


def test_what_a_link_carries_is_its_speed_or_the_most_that_was_seen():
    course = Course("r", transfer(some_files()), 0)
    assert course.carries(11_520, 0, 0, 10_000) == 11_520
    assert course.carries(None, 500, 0, 10_000) == 10_000
    assert course.carries(None, 40_500, 999, 10_000) == 10_000, "no whole second yet"
    assert course.carries(None, 60_500, 2_000, 10_000) == 30_000
    assert course.carries(None, 60_600, 9_000, 10_000) == 30_000, "a quiet link carries what it did"
    assert course.carries(None, 10, 9_500, 10_000) == 30_000, "another connection"
    assert course.carries(None, 20, 20_000, 10_000) == 30_000
