"""A roll-out as people see it: in the status, by its nodes, and in the doctor's words."""

from pathlib import Path

from edge_agent.cli.shown_updates import progress, rollout_lines
from edge_agent.cli.update_lines import update_lines
from edge_agent.config import Config, UpdatesConfig, parse
from edge_agent.ops.doctor import Patient
from edge_agent.ops.doctor_updates import updates
from edge_agent.updates import kept, rollout
from edge_agent.updates.rollout import NodeState, Rollout, Rules


def made(**changed) -> Rollout:
    nodes = {f"{n:016x}": NodeState(0, "confirmed", "", 1) for n in range(25)}
    nodes["ff" * 8] = NodeState(0, "rolled back", "samples late", 2, 0, [(2, "rolled back", "samples late")])
    told = {"wave": 0, "nodes": nodes, "state": "halted", "why": "1 rolled back"} | changed
    return Rollout("ab" * 8, "1.3.0", {"kit": "00" * 8}, "all", [10, 100], "uid 7", 1000, Rules(), **told)


def told(**changed) -> dict:
    newest = {"version": "1.3.0", "state": "halted", "why": "1 rolled back", "wave": 1, "waves": [10, 100]}
    nodes = {"waiting": 0, "confirmed": 3, "rolled back": 1}
    return {"rollout": newest | {"nodes": nodes} | changed, "problem": None}


def test_a_status_says_what_is_under_way_and_what_has_halted():
    assert list(update_lines({})) == list(update_lines({"rollout": None})) == []
    assert list(update_lines(told())) == [
        "update 1.3.0: HAS HALTED: 1 rolled back (wave 1 of 2: 3 confirmed, 1 rolled back)"
    ]
    assert list(update_lines(told(state="running", why=None, nodes={}))) == [
        "update 1.3.0: running (wave 1 of 2: no node yet)"
    ]
    assert list(update_lines(told(state="finished"))) == []
    assert list(update_lines({"problem": "/x: full"})) == ["updates: /x: full"]


def test_nodes_are_listed_by_state_and_not_all_of_many():
    lines = list(rollout_lines(made(), {}))
    assert lines[0] == "roll-out abababababababab of 1.3.0 to all: halted: 1 rolled back"
    assert "  confirmed: 25 nodes" in lines and sum("(wave 1)" in line for line in lines) == 21
    assert "    and 5 more: vitalwire update status --json" in lines
    assert lines[-1] == "    ffffffffffffffff (wave 1); samples late"


def test_progress_says_why_nothing_goes():
    now = {"percent": 12.5, "bytes_s": 700.0, "held": "an alarm is on", "said": "cuff inflated"}
    assert list(progress(now)) == [
        "12.5 % at 700 bytes/s",
        "held back: an alarm is on",
        "the node says: cuff inflated",
    ]
    assert list(progress({})) == []


def test_what_is_kept_comes_back_and_the_oldest_that_are_over_go(tmp_path):
    many = [made(state="finished" if n else "paused") for n in range(30)]
    for n, one in enumerate(many):
        one.begun_ms, one.id = n, f"{n:016x}"
    found = kept.encoded(many)
    assert b"samples late" in found
    path = tmp_path / "rollouts.json"
    kept.write(path, found)
    assert [one.begun_ms for one in kept.read(path)] == [0, *range(30 - kept.MAX_KEPT, 30)]
    kept.write(path, kept.encoded([many[5]]))
    assert kept.read(path) == [many[5]]


def test_the_doctor_names_what_waits_for_a_person(tmp_path):
    config = Config(tmp_path, tmp_path / "agent.key", updates=UpdatesConfig())
    assert list(updates(Patient(config))) == []
    kept.write(config.bundles / "rollouts.json", kept.encoded([made()]))
    (config.bundles / ("00" * 8 + ".vwu")).write_bytes(b"nothing")
    config.makers.mkdir()
    (config.makers / "a.pub").write_text("no key")
    ((state, what, _),) = updates(Patient(config))
    assert state == "bad" and "no Ed25519 public key" in what
    (config.makers / "a.pub").unlink()
    found = [what for _, what, _ in updates(Patient(config))]
    assert "not offered to any node" in found[0] and "1.3.0 has halted: 1 rolled back" in found[1]
    assert "no maker's key" in found[2]
    (config.bundles / "rollouts.json").write_text("[]")
    assert "damaged" in next(iter(updates(Patient(config))))[1]
    config.groups.write_text("a = 1")
    (config.bundles / "rollouts.json").unlink()
    assert "not a list of node ids" in next(iter(updates(Patient(config))))[1]


def test_every_state_is_one_of_a_few_kinds():
    assert len(set(rollout.STATES)) == len(rollout.STATES) == len(rollout.ENDS) + len(rollout.ON_THE_WAY) + 1


def test_the_table_of_updates_is_read_whole_and_has_defaults():
    path = Path("/etc/vitalwire/agent.toml")
    given = '[updates]\nmakers = "m.pub"\ngroups = "g.toml"\nat_once = 3\n'
    found = parse(given, path)
    assert found.updates == UpdatesConfig(path.parent / "m.pub", path.parent / "g.toml", at_once=3)
    assert (found.makers, found.groups) == (path.parent / "m.pub", path.parent / "g.toml")
    plain = parse('[agent]\nstate_dir = "/s"\n', path)
    assert plain.updates == UpdatesConfig()
    assert (plain.makers, plain.groups) == (Path("/s/makers"), Path("/s/groups.toml"))
