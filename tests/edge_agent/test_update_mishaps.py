"""Roll-outs to which something happens: nodes that vanish or fall back, an agent that is killed, a clock that
is set, files that somebody has changed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.nodes.peers import PeersError
from edge_agent.updates import rollout
from edge_agent.updates import telling as told
from edge_agent.updates.lapse import Lapse
from protocol import frames
from tests.edge_agent.update_world import Link, ModelNode, World, bundle, some_files


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[World] = []

    def world(models: list[ModelNode], **options: Any) -> World:
        folder = tmp_path / f"world{len(made)}"
        folder.mkdir()
        made.append(World(folder, models, **options))
        made[-1].add("1.1.0")
        return made[-1]

    yield world
    for one in made:
        one.close()


def link_of(world: World, model: ModelNode) -> Link:
    return next(link for link in world.links.values() if link.model is model)


def state(world: World, model: ModelNode) -> rollout.NodeState:
    return world.one.nodes[link_of(world, model).node.hex()]


def test_a_node_that_is_gone_when_the_next_agent_begins_holds_nobody_up(make):
    models = [ModelNode() for _ in range(3)]
    world = make(models, at_once=1)
    world.start()
    world.until(lambda: any(model.took for model in models))
    [first] = [model for model in models if model.took]
    assert state(world, first).state == "sending"
    link_of(world, first).gone()
    world.begin()
    world.until(lambda: world.states == {"confirmed": 2, "waiting": 1})


@pytest.mark.parametrize("killed", [False, True])
def test_a_node_that_dies_of_it_before_it_has_answered_is_silent(make, killed):
    dies = ModelNode("rolled back, unsaid")
    world = make([dies, *(ModelNode() for _ in range(3))], at_once=1)
    world.start()
    world.until(lambda: dies.applied)
    link_of(world, dies).gone()
    assert state(world, dies).state == "verifying"
    if killed:
        world.begin()
    world.until(lambda: state(world, dies).state == "silent")
    assert "since it was to apply" in state(world, dies).why
    world.until(lambda: world.one.state == rollout.HALTED)


def test_one_that_is_away_while_it_checks_is_not_given_up_at_once(make):
    model = ModelNode()
    model.busy = 1000
    world = make([model])
    world.start()
    world.until(lambda: state(world, model).state == "verifying" and model.busy < 1000)
    away = link_of(world, model)
    for _ in range(3):
        world.hub.live.pop(away.node)
        away.up_at_ms = world.now + world.one.rules.trial_ms * 3 // 4
        world.until(lambda: away.node in world.hub.live)
        for _ in range(20):
            world.turn()
    assert state(world, model).state == "verifying"
    model.busy = 0
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert model.applied == 1


@pytest.mark.parametrize("first", ["", "confirmed"])
def test_a_node_that_runs_the_old_version_again_counts_as_one_that_failed(make, first):
    falls = ModelNode(first)
    absent = ModelNode()
    world = make([falls, absent], confirm_percent=0)
    link_of(world, absent).gone()
    world.start()
    world.until(lambda: falls.applied)
    link = link_of(world, falls)
    if first:
        world.until(lambda: state(world, falls).state == "confirmed")
    else:
        # Another roll-out finds it with the version, which is on trial there still.
        world.until(lambda: falls.version == "1.1.0" and link.node in world.hub.live)
        assert world.ask(do="halt")[0]
        world.start()
        world.until(lambda: state(world, falls).state == "has it already")
    link.reset("1.0.0")
    world.until(lambda: state(world, falls).state == "rolled back")
    assert state(world, falls).why == "it runs 1.0.0 again"


def test_an_old_boot_that_is_delivered_late_is_no_falling_back(make):
    model = ModelNode()
    world = make([model, ModelNode("")])
    world.start()
    world.until(lambda: state(world, model).state == "confirmed")
    link = link_of(world, model)
    world.hub._hellos[link.node] = (link.counter, link.conn)
    link.counter -= 1
    about = {frames.BOOT_FIRMWARE: "1.0.0", frames.BOOT_BOARD: "model"}
    link.frame(frames.KIND_BOOT, about)
    assert state(world, model).state == "confirmed"
    assert world.updates.about[link.node][0] == "1.1.0"


def test_after_a_resume_the_next_wave_comes_though_all_of_the_first_failed(make):
    models = [ModelNode("rolled back") for _ in range(3)]
    world = make(models)
    world.start(percents=(1, 100))
    world.until(lambda: world.one.state == rollout.HALTED)
    assert world.states == {"rolled back": 1}
    for model in models:
        model.outcome = "confirmed"
    assert world.ask(do="resume")[0]
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert world.states == {"rolled back": 1, "confirmed": 2}


def alarm(world: World, link: Link, on: bool) -> None:
    body = {1: frames.EVENT_SPO2_LOW, 2: frames.PRIORITY_HIGH, 6: frames.STATE_BEGAN, 7: 1}
    if not on:
        body[6] = frames.STATE_ENDED
    event = (frames.KIND_EVENT, 1, body)
    world.hub.view(link.node).said(bytes(12), 50 + (not on), event, world.now * 1000)


@pytest.mark.parametrize("at", ["sending", "verifying"])
def test_a_node_that_may_be_sent_nothing_for_long_leaves_its_place_to_the_others(make, at):
    models = [ModelNode() for _ in range(3)]
    world = make(models, at_once=1)
    world.add("1.1.1", some_files((4000,)))
    world.start("1.1.1")
    world.until(lambda: any(model.took for model in models))
    [ill] = [model for model in models if model.took]
    if at == "verifying":
        world.until(lambda: ill.complete)
    alarm(world, link_of(world, ill), True)
    world.until(lambda: state(world, ill).state == at)
    world.turn()
    assert told.of_node(world.updates, link_of(world, ill).node)["held"].startswith("an alarm is on")
    world.until(lambda: world.states == {"confirmed": 2, "waiting": 1})
    assert ill.applied == 0
    for _ in range(1000):
        world.turn()
    now = told.of_node(world.updates, link_of(world, ill).node)
    assert now["state"] == "waiting" and now["held"].startswith("an alarm is on")
    assert [what for _, what, _ in state(world, ill).history][1:] in (["waiting"], ["verifying", "waiting"])
    alarm(world, link_of(world, ill), False)
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert [model.applied for model in models] == [1, 1, 1]


@pytest.mark.parametrize("at", ["offer", "apply"])
def test_a_node_that_says_later_for_long_holds_nobody_up(make, at):
    models = [ModelNode() for _ in range(8)]
    world = make(models, at_once=1)
    ranked = sorted(world.links, key=lambda node: rollout.rank(node, "1.1.0"))
    busy = world.links[ranked[0]].model
    busy.busy = 1 << 30
    if at == "offer":
        busy.answer = lambda _, body: {1: body[1], 2: frames.RESULT_INTERLOCK, 3: "cuff fault"}
    # Two nodes, then all.
    world.start(percents=(100 * rollout.rank(ranked[2], "1.1.0"), 100))
    world.until(lambda: world.states.get("confirmed") == 7)
    assert busy.applied == 0
    busy.busy, busy.answer = 0, None
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert busy.applied == 1
    if at == "offer":
        assert "it says later: cuff fault" in [why for _, _, why in state(world, busy).history]


def test_how_long_a_node_is_away_is_counted_anew_after_a_while_in_which_nobody_asked():
    now, live = [0], {bytes(8)}
    lapse = Lapse(lambda: now[0], lambda: now[0], live)
    found = []
    for now[0] in (0, 5_000, 9_000, 18_000, 60_000, 61_000):
        found.append(lapse.away_ms(bytes(8)))
        live.clear()
    assert found == [0, 5_000, 9_000, 18_000, 0, 1_000]


def test_a_node_that_answers_nothing_has_failed_in_the_end(make, monkeypatch):
    monkeypatch.setattr("edge_agent.updates.transfer.MAX_UNANSWERED", 4)
    dumb = ModelNode()
    dumb.answer = lambda *_: None
    world = make([dumb, ModelNode()], confirm_percent=0)
    world.start()
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert world.states == {"failed": 1, "confirmed": 1} and state(world, dumb).why == "it does not answer"
    assert state(world, dumb).tries == 3


DAY_MS = 86_400_000


# Of an agent that does not run, a clock that is set forward is told from time that passes by nobody.
@pytest.mark.parametrize(("by_ms", "restarted"), [(-DAY_MS, False), (-DAY_MS, True), (DAY_MS, False)])
def test_a_clock_that_is_set_ends_no_trial_and_holds_none_up(make, by_ms, restarted):
    models = [ModelNode(), ModelNode("")]
    world = make(models, confirm_percent=0, trial_min=5)
    world.clock_ms = max(0, -by_ms)
    world.start()
    world.until(lambda: world.states == {"confirmed": 1, "trial": 1})
    world.clock_ms += by_ms
    if restarted:
        world.begin()
    for _ in range(100):
        world.turn()
    assert world.states == {"confirmed": 1, "trial": 1}
    link = link_of(world, models[1])
    link.word = (world.now, frames.EVENT_UPDATED)
    world.until(lambda: world.one.state == rollout.FINISHED, 60)
    assert world.states == {"confirmed": 2}


def test_a_clock_that_is_set_forward_shortens_no_pause_between_waves(make):
    world = make([ModelNode() for _ in range(4)], soak_min=30)
    world.start(percents=(40, 100))
    world.until(lambda: set(world.states) == {"confirmed"})
    world.clock_ms += DAY_MS
    began = world.now
    world.until(lambda: world.one.wave == 1)
    assert world.now - began > 25 * 60_000


def test_while_the_file_of_paired_nodes_cannot_be_read_nothing_new_is_begun(make, monkeypatch):
    models = [ModelNode() for _ in range(3)]
    world = make(models, at_once=1)
    world.start()
    with monkeypatch.context() as patched:

        def damaged() -> list[bytes]:
            raise PeersError(Path("peers.json"), "damaged")

        patched.setattr(world.peers, "ids", damaged)
        world.until(lambda: world.states.get("confirmed") == 1)
        for _ in range(100):
            world.turn()
        assert world.states == {"confirmed": 1, "waiting": 2}
        assert world.hub.rejected["peers_unreadable"]
    world.until(lambda: world.one.state == rollout.FINISHED)


def test_a_bundle_that_cannot_be_read_halts_once(make):
    world = make([ModelNode() for _ in range(8)])
    world.updates.shelf.get = lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    world.start()
    world.until(lambda: world.one.state == rollout.HALTED)
    for _ in range(50):
        world.turn()
    assert world.codes.count("rollout_halted") == 1 and "Input/output" in world.one.why


@pytest.mark.parametrize("what", ["maker", "bundle", "other bundle"])
def test_a_maker_that_is_believed_no_longer_halts_what_is_under_way(make, what):
    models = [ModelNode() for _ in range(3)]
    world = make(models, at_once=1)
    world.add("1.1.1", some_files((9000,)))
    world.start("1.1.1")
    world.until(lambda: any(len(model.took) > 9 for model in models))
    [path] = [world.updates.shelf._place(bytes.fromhex(name)) for name in world.one.bundles.values()]
    if what == "maker":
        (world.config.makers / "maker.pub").unlink()
    elif what == "bundle":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(bundle("1.1.1", some_files((10,))))
    world.until(lambda: world.one.state == rollout.HALTED)
    for _ in range(20):
        world.turn()
    took = [len(model.took) for model in models]
    for _ in range(500):
        world.turn()
    assert [len(model.took) for model in models] == took and world.codes.count("rollout_halted") == 1
    assert not any(model.applied for model in models)


def test_nobody_is_told_of_what_the_disk_does_not_have_yet(make):
    world = make([ModelNode()])
    written = []
    write = world.updates.disk.write

    def slowly(data: bytes) -> None:
        world.desk.step(list(world.waiting))
        written.append(list(world.answers))
        write(data)

    world.updates.disk.write = slowly
    assert "begins with 1" in world.start()
    assert written[0] == []


def edited(world: World, change: Any) -> None:
    """The file, changed by hand, as the next agent finds it."""
    path = world.config.bundles / "rollouts.json"
    document = json.loads(path.read_text())
    change(document["rollouts"][0])
    path.write_text(json.dumps(document))
    world.begin()


WRONG: list[tuple[str, Any]] = [
    ("wave", -5), ("wave", 2), ("wave", "1"), ("wave", True), ("percents", []), ("percents", ["x"]),
    ("percents", [0]), ("percents", [50, 10]), ("percents", [1e999]), ("state", "runing"),
    ("begun_ms", None), ("begun_ms", "1"), ("wave_ms", 1 << 70), ("changed_ms", 1.5),
    ("bundles", {"model": "zz"}), ("bundles", []), ("bundles", {}), ("bundles", {"model": 5}), ("nodes", []),
    ("nodes", {"zz": {}}), ("forgiven", None), ("forgiven", [5]), ("rules", {"soak_ms": "1"}), ("group", 5),
    ("id", 7), ("version", "1.x"), ("version", None), ("why", 3), ("more", 1),
]  # fmt: skip
WRONG_NODE: list[tuple[str, Any]] = [
    ("wave", "x"), ("wave", 1), ("wave", -1), ("state", ["trial"]), ("since_ms", None), ("since_ms", "1"),
    ("tries", -1), ("tries", 1000), ("why", None), ("history", [[1, 2]]), ("history", ["abc"]),
    ("history", [[1 << 50, "trial", ""]]), ("more", 1),
]  # fmt: skip


@pytest.mark.parametrize("of_node", [False, True])
def test_a_file_that_was_edited_wrongly_is_named_and_ends_no_agent(make, of_node):
    world = make([ModelNode(), ModelNode()])
    world.start(percents=(50, 100))
    path = world.config.bundles / "rollouts.json"
    whole = path.read_bytes()
    for key, value in WRONG_NODE if of_node else WRONG:

        def change(one: Any, key: str = key, value: Any = value) -> None:
            for place in one["nodes"].values() if of_node else [one]:
                place[key] = value

        edited(world, change)
        assert "damaged" in world.updates.disk.problem and world.updates.rollouts == [], (key, value)
        found = path.read_bytes()
        for _ in range(5):
            world.turn()
        assert path.read_bytes() == found, "it is a person's to mend"
        path.write_bytes(whole)
    world.begin()
    world.until(lambda: world.one.state == rollout.FINISHED)


def test_a_file_that_was_edited_soundly_is_believed(make):
    world = make([ModelNode() for _ in range(4)])
    world.start(percents=(30, 50, 100))
    edited(world, lambda one: one.update(percents=[30, 60.5]))
    world.until(lambda: world.one.state == rollout.FINISHED)
    assert world.one.percents == [30, 60.5] and world.one.wave == 1
