"""Roll-outs to model nodes: waves, halting, what is kept and stated, and an agent that dies at any write."""

import pytest

from edge_agent.updates import rollout
from edge_agent.updates.rollout import broken, chosen, rank
from tests.edge_agent.update_world import Killed, ModelNode, World, some_files


@pytest.fixture
def make(tmp_path):
    made = []

    def world(models, **options) -> World:
        folder = tmp_path / f"world{len(made)}"
        folder.mkdir()
        made.append(World(folder, models, **options))
        return made[-1]

    yield world
    for one in made:
        one.close()


def finished(world: World) -> bool:
    return world.one.state == rollout.FINISHED


def test_one_node_is_updated_and_everything_is_stated(make):
    world = make([ModelNode()])
    world.add("1.1.0")
    assert "begins with 1 of 1 node" in world.start()
    world.until(lambda: finished(world))
    assert world.states == {"confirmed": 1}
    assert world.codes == [
        "rollout_started",
        "rollout_wave",
        "update_offered",
        "update_ended",
        "rollout_finished",
    ]
    (node,) = world.one.nodes.values()
    assert [state for _, state, _ in node.history] == ["sending", "verifying", "trial", "confirmed"]


def test_200_nodes_of_which_5_in_100_fail_are_updated_in_waves(make):
    models = [ModelNode("rolled back" if n % 20 == 7 else "confirmed") for n in range(200)]
    world = make(models)
    world.add("1.1.0")
    world.start(percents=(10, 50, 100))
    sizes = []
    world.until(lambda: world.one.wave == 0)
    while not finished(world):
        if len(sizes) == world.one.wave:
            sizes.append(len(world.one.nodes))
        assert world.one.state == rollout.RUNNING, world.one.why
        assert sum(world.states.get(state, 0) for state in rollout.ON_THE_WAY) <= 20, "more than at_once"
        world.turn()
    assert world.states == {"confirmed": 190, "rolled back": 10}
    assert sizes[0] < 40 and 70 < sizes[1] < 130 and sizes[2] == 200
    assert all(model.applied == 1 for model in models)
    share = world.updates.courses.meter.share
    print(f"share of the links: {share:.4f}, {world.updates.courses.bytes} bytes to 200 nodes")
    assert 0.05 < share <= 0.10


def test_a_bad_version_halts_and_only_a_person_lets_it_go_on(make):
    models = [ModelNode("rolled back" if n % 3 == 0 else "confirmed") for n in range(60)]
    world = make(models)
    world.add("1.1.0")
    world.start(percents=(50, 100))
    world.until(lambda: world.one.state == rollout.HALTED)
    bad = world.states["rolled back"]
    assert bad <= 20 / 3 and "rolled back" in world.one.why and "under 90 %" in world.one.why
    assert world.statements[-1][0] == "rollout_halted" and world.statements[-1][1]["by"] == "agent"
    world.until(lambda: not set(world.states) & set(rollout.ON_THE_WAY))
    applied = sum(model.applied for model in models)
    for _ in range(2000):
        world.turn()
    assert sum(model.applied for model in models) == applied, "a halted roll-out sends nothing"
    good, text = world.ask(do="resume")
    assert good and "it had halted" in text and "rolled back" in text
    world.until(lambda: world.one.state == rollout.HALTED)
    assert world.states["rolled back"] > bad, "what a person has seen counts no more, what comes then does"


def test_a_paused_roll_out_goes_on_where_it_was(make):
    model = ModelNode()
    world = make([model])
    world.add("1.1.0", some_files((4000,)))
    world.start()
    world.until(lambda: len(model.took) > 10)
    assert world.ask(do="pause")[0] and "already" in world.ask(do="pause")[1]
    took = len(model.took)
    for _ in range(200):
        world.turn()
    assert len(model.took) == took and world.states == {"waiting": 1}
    assert world.ask(do="resume")[0]
    world.until(lambda: finished(world))
    assert sum(size for number, size in model.took if number == 1) == 4000, "a byte went twice"


def test_a_second_roll_out_waits_for_the_end_of_the_first(make):
    world = make([ModelNode("")])
    world.add("1.1.0")
    world.add("1.2.0", some_files((10,)))
    world.start()
    good, text = world.ask(do="start", version="1.2.0", group="all", percents=[100])
    assert not good and "update halt ends it first" in text
    assert world.ask(do="halt", why="enough")[0]
    world.start("1.2.0")
    assert [one.state for one in world.updates.rollouts] == ["ended", "running"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"version": "9.9.9"}, "no bundle of 9.9.9"),
        ({"percents": []}, "waves"),
        ({"percents": [50, 10]}, "more than the one before"),
        ({"percents": [0]}, "waves"),
        ({"percents": "x"}, "not what this agent knows"),
        ({"percents": [10**400]}, "not what this agent knows"),
        ({"by": "\udcff"}, "not what this agent knows"),
        ({"group": ["all"]}, "not what this agent knows"),
        ({"group": "ward-z"}, "no group 'ward-z'"),
        ({"do": "dance"}, "not what this agent knows"),
    ],
)
def test_what_cannot_be_started_is_refused_with_a_reason(make, asked, says):
    world = make([ModelNode()])
    world.add("1.1.0")
    good, text = world.ask(**({"do": "start", "version": "1.1.0", "group": "all", "percents": [100]} | asked))
    assert not good and says in text
    assert world.updates.rollouts == []


def test_a_group_is_a_list_in_a_file(make):
    world = make([ModelNode(), ModelNode()])
    world.add("1.1.0")
    first = world.peers.ids()[0]
    world.config.groups.write_text(f'ward-a = ["{first.hex()}", "00112233445566aa"]\n')
    assert "begins with 1 of 1 node" in world.start(group="ward-a")
    world.until(lambda: finished(world))
    assert list(world.one.nodes) == [first.hex()]
    assert "ward-a" not in str(world.statements), "the name of a group is nobody else's"


def test_who_is_away_is_updated_later_and_holds_nobody_up(make):
    world = make([ModelNode() for _ in range(6)])
    world.add("1.1.0")
    away = min(world.peers.ids(), key=lambda node: rank(node, "1.1.0"))
    del world.hub.live[away]
    world.start(percents=(60, 100))
    world.until(lambda: world.one.wave == 1)
    world.until(lambda: world.states == {"confirmed": 5, "waiting": 1})
    assert not finished(world)
    world.links[away].up_at_ms = world.now
    world.until(lambda: finished(world))
    assert world.states == {"confirmed": 6}


def test_who_has_it_or_cannot_take_it_is_not_asked(make):
    world = make([ModelNode() for _ in range(5)])
    ids = world.peers.ids()
    for node, about in zip(ids, [("1.1.0", "model"), ("1.2.0", "model"), ("1.0.0", "other")], strict=False):
        world.updates.about[node] = about
    world.add("1.1.0")
    world.start()
    world.until(lambda: finished(world))
    assert world.states == {"has it already": 1, "refused": 2, "confirmed": 2}
    assert [world.links[node].model.took for node in ids[:3]] == [[], [], []]


def test_a_wave_whose_nodes_cannot_take_it_holds_no_other_up(make):
    world = make([ModelNode() for _ in range(4)])
    first, *_ = chosen(world.peers.ids(), "1.1.0", 1)
    world.updates.about[first] = ("1.0.0", "other")
    world.add("1.1.0")
    world.start(percents=(0.01, 100))
    world.until(lambda: finished(world))
    assert world.states == {"refused": 1, "confirmed": 3}


def test_a_wave_that_nobody_took_halts(make):
    world = make([ModelNode(version="1.2.0")])
    world.updates.about[world.peers.ids()[0]] = ("1.2.0", "model")
    world.add("1.1.0")
    world.start()
    world.until(lambda: world.one.state == rollout.HALTED)
    assert world.one.why == "no node took it"


def test_a_node_that_says_nothing_of_its_trial_has_failed(make):
    world = make([ModelNode("")])
    world.add("1.1.0")
    world.start()
    world.until(lambda: world.one.state == rollout.HALTED)
    assert world.states == {"silent": 1}
    (node,) = world.one.nodes.values()
    assert node.why == "it runs the new version and has not confirmed it"


@pytest.mark.parametrize(("result", "state"), [(0, "confirmed"), (1, "rolled back")])
def test_a_word_that_went_with_the_rams_power_is_asked_for(make, result, state):
    model = ModelNode("")
    world = make([model])
    world.add("1.1.0")
    world.start()
    world.until(lambda: "trial" in world.states)
    model.answer = lambda _, body: {1: body[1], 2: result, 4: 0}
    world.until(lambda: "trial" not in world.states)
    assert world.states == {state: 1} and model.applied == 1


def test_a_disk_that_refuses_lets_no_node_apply(make):
    model = ModelNode()
    world = make([model])
    world.add("1.1.0")
    world.start()
    world.until(lambda: model.took)
    world.refusing = True
    for _ in range(1000):
        world.turn()
    assert model.applied == 0 and "No space left" in world.updates.disk.problem
    world.refusing = False
    world.until(lambda: finished(world))
    assert model.applied == 1


def killed_at(make, n: int, torn: bool) -> int:
    """Roll out to three nodes, with the agent killed at the nth write; how many writes there were."""
    models = [ModelNode(), ModelNode("rolled back"), ModelNode()]
    world = make(models, confirm_percent=0, at_once=1)
    world.add("1.1.0")
    world.kill_at, world.torn = n, torn
    try:
        world.start(percents=(70, 100))
        world.until(lambda: finished(world))
    except Killed:
        # What was asked for and not answered is still asked for.
        world.begin()
        world.until(lambda: world.updates.rollouts and not world.waiting)
        world.until(lambda: finished(world))
    assert finished(world)
    assert world.states == {"confirmed": 2, "rolled back": 1}
    assert [model.applied for model in models] == [1, 1, 1], "a version is tried once"
    assert len(world.updates.rollouts) == 1 and world.answers[-1][0]
    ended = [detail["node"] for code, detail in world.statements if code == "update_ended"]
    assert len(set(ended)) == 3
    return world.writes


@pytest.mark.parametrize("torn", [False, True])
def test_an_agent_that_dies_at_any_write_goes_on_from_there(make, torn):
    writes = killed_at(make, 0, torn)
    assert writes > 10
    for n in range(1, writes + 1):
        killed_at(make, n, torn)


def test_the_bound():
    assert not broken(3, 0, 3, 90) and not broken(2, 0, 2, 90)
    assert broken(1, 1, 1, 90) and broken(3, 1, 3, 90), "it can no longer be kept"
    assert not broken(3, 1, 20, 90), "one of three may be chance"
    assert broken(3, 2, 100, 90), "two of three are not"
    assert not broken(20, 2, 20, 90) and broken(20, 3, 20, 90)
    assert not broken(100, 10, 100, 90) and not broken(50, 5, 100, 90)
    assert not broken(5, 5, 5, 0) and broken(1, 1, 1, 100)


def test_the_choice_is_stable_and_another_for_another_version():
    nodes = [bytes([n]) * 8 for n in range(100)]
    first = chosen(nodes, "1.1.0", 10)
    assert first == chosen(reversed(nodes), "1.1.0", 10) and set(first) < set(chosen(nodes, "1.1.0", 50))
    assert set(first) != set(chosen(nodes, "1.2.0", 10)) and len(chosen(nodes, "1.1.0", 100)) == 100
    assert set(chosen(nodes[:50], "1.1.0", 50)) == set(chosen(nodes, "1.1.0", 50)) & set(nodes[:50])
    assert len(chosen(nodes[:1], "1.1.0", 0.001)) == 1 and chosen([], "1.1.0", 50) == []
