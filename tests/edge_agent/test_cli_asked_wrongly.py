"""Commands about people that were asked for the wrong thing, or for nothing: they say so."""

import os
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner

from edge_agent.custody.delivery import open_custody
from edge_agent.keys import KeyFileError, PublicKeys, write_public
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.people.state import PeopleError
from edge_agent.store.opening import open_store
from tests.edge_agent.custody_kit import Kit as Custody
from tests.edge_agent.fakes import identity
from tests.edge_agent.people_kit import ADA, NOW, OPERATOR, consented
from tests.edge_agent.running import Kit
from tests.edge_agent.test_cli_people import Desk
from tools.cli import main

FOLDER = {"collector": "", "file": 'out = "spool"\n'}


@pytest.fixture
def desk(tmp_path):
    return Desk(Kit(tmp_path))


def test_nobody_can_consent_to_a_forwarder_that_there_is_not(tmp_path) -> None:
    made = Custody(tmp_path / "agent.db")
    operators = Operators(tmp_path / "operators")
    operators.add("ward", PublicKeys(*OPERATOR.public()))
    people = People(made.store, operators)
    for granted in (True, False):
        with pytest.raises(PeopleError, match=r"no forwarder 'mqqt' .*mqtt, file, fhir"):
            people.put(consented(ADA, granted, "mqqt"), NOW)
    people.put(consented(ADA), NOW)
    assert len(people.state.records(ADA)) == 1
    made.store.close()


def test_a_consent_for_a_forwarder_that_is_not_configured_warns_and_the_log_says_what_was_said(desk) -> None:
    desk("operator", "new", "home")
    person = desk("person", "new").strip()
    assert "no [fhir] is configured here" in desk("consent", "grant", person, "--forwarder", "fhir")
    desk("consent", "withdraw", person, "--forwarder", "fhir")
    told = [line["more"] for line in desk.log() if line["what"] == "consent"]
    assert [(one["said"], one["forwarder"], one["purpose"]) for one in told] == [
        ("granted", "fhir", "care"),
        ("withdrawn", "fhir", "care"),
    ]
    told = desk("audit")
    assert "said=withdrawn" in told and "forwarder=fhir" in told


def test_lists_of_nothing_say_none_and_the_log_says_what_there_is(desk) -> None:
    for words in (("person", "list"), ("operator", "list"), ("consent", "list")):
        assert desk(*words).startswith("none"), words
    desk("operator", "new", "home")
    told = desk("audit", "--what", "nonsense")
    assert "none is 'nonsense'; there are: config, operator added, operator made" in told


@pytest.mark.parametrize("role", ["agent", "collector", "authority"])
def test_an_operator_is_added_by_an_operators_file_only(desk, tmp_path, role) -> None:
    write_public(tmp_path / "given.pub", role, PublicKeys(*identity(50).public()))
    told = desk("operator", "add", "ward", str(tmp_path / "given.pub"), good=False)
    assert "not say that it is the key of an operator" in told and "vitalwire operator new" in told
    assert not os.path.exists(tmp_path / "operators" / "ward.pub")


def test_an_erased_persons_export_says_erased(desk, tmp_path) -> None:
    desk("operator", "new", "home")
    person = desk("person", "new").strip()
    desk("consent", "grant", person, "--forwarder", "mqtt")
    assert "no frame" in desk("export", person, str(tmp_path / "before"))
    desk("erase", person, "--confirm", person)
    left = tmp_path / ".other.vitalwire-part"
    left.mkdir()
    told = desk("export", person, str(tmp_path / "after"))
    assert "erased at 2" in told and "no frame" not in told
    assert f"removed what an export that was ended had left in clear: {left}" in told.replace("\n", "")
    assert not left.exists()


def test_a_file_that_was_put_among_the_operators_by_hand_is_named_when_it_is_no_operators(tmp_path) -> None:
    write_public(tmp_path / "home.pub", "agent", PublicKeys(*identity(50).public()))
    write_public(tmp_path / "ward.pub", "operator", PublicKeys(*OPERATOR.public()))
    operators = Operators(tmp_path)
    assert [one.name for one in operators.all()] == ["ward"]
    assert "key of an operator" in operators.problems[0]


@pytest.mark.parametrize("table", ["collector", "file"])
def test_a_public_key_in_the_configuration_is_a_collectors(tmp_path, table) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nstate_dir = "."\n[{table}]\npublic = "far.pub"\n' + FOLDER[table])
    for role, good in (("agent", False), ("operator", False), ("collector", True)):
        write_public(tmp_path / "far.pub", role, PublicKeys(*identity(50).public()))
        done = CliRunner().invoke(main, ["config", "check", "--config", str(path)])
        assert (done.exit_code == 0) == good, done.output
        assert ("key of a collector" not in done.output) == good
        done = CliRunner().invoke(main, ["doctor", "--offline", "--config", str(path)])
        assert ("key of a collector" not in done.output) == good, done.output


def test_nothing_is_sealed_to_the_agent_itself(tmp_path) -> None:
    kit = Kit(tmp_path)
    config = kit.config()
    write_public(tmp_path / "far.pub", "collector", PublicKeys(*kit.identity.public()))
    store, _ = open_store(config.store, kit.identity.id, 1)
    with closing(store), pytest.raises(KeyFileError, match="this agent's own key"):
        open_custody(replace(config, collector=tmp_path / "far.pub"), store, kit.identity, lambda: 1)
