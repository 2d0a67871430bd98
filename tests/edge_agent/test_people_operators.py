"""Operators: whose signatures on records of people are believed."""

import pytest

from edge_agent.keys import PublicKeys, create, load_public
from edge_agent.people.operators import Operators
from edge_agent.people.state import PeopleError
from tests.edge_agent.fakes import identity


def test_an_operator_is_believed_until_removed_and_known_for_ever(tmp_path) -> None:
    operators = Operators(tmp_path / "operators")
    assert operators.all() == [] and operators.former() == []
    ward = identity(30)
    operators.add("ward-3", PublicKeys(*ward.public()))
    assert operators.key_of(ward.id) == ward.ed_pub
    assert [one.name for one in operators.all()] == ["ward-3"]
    operators.remove("ward-3")
    assert operators.key_of(ward.id) is None and operators.all() == []
    assert operators.key_of(ward.id, past=True) == ward.ed_pub
    operators.add("ward-3", PublicKeys(*identity(31).public()))
    operators.remove("ward-3")
    assert operators.key_of(ward.id, past=True) == ward.ed_pub


def test_names_and_keys_are_there_once(tmp_path) -> None:
    operators = Operators(tmp_path)
    operators.add("a", PublicKeys(*identity(30).public()))
    for name, keys in (("b", identity(30)), ("a", identity(31)), ("../a", identity(31)), ("", identity(31))):
        with pytest.raises(PeopleError) as caught:
            operators.add(name, PublicKeys(*keys.public()))
        assert caught.value.hint
    with pytest.raises(PeopleError, match="no operator"):
        operators.remove("b")


def test_who_signs_is_the_only_one_whose_secret_is_here(tmp_path) -> None:
    operators = Operators(tmp_path / "operators")
    with pytest.raises(PeopleError, match="operator new"):
        operators.signer(None)
    one, path = operators.new("home")
    assert path.stat().st_mode & 0o777 == 0o600 and operators.all()[0].secret_here
    assert operators.signer(None).id == one.keys.id
    elsewhere = tmp_path / "ward.key"
    ward = create(elsewhere, "operator")
    with pytest.raises(PeopleError, match="operator add"):
        operators.signer(elsewhere)
    operators.add("ward", load_public(tmp_path / "ward.pub"))
    assert operators.signer(elsewhere).id == ward.id and operators.signer(None).id == one.keys.id
    operators.new("second")
    with pytest.raises(PeopleError, match="--by"):
        operators.signer(None)
    operators.remove("home")
    assert not path.exists()


def test_a_file_that_holds_no_keys_is_named_and_is_nobodys_word(tmp_path) -> None:
    operators = Operators(tmp_path)
    operators.add("ward", PublicKeys(*identity(30).public()))
    (tmp_path / "torn.pub").write_text("-----BEGIN PUBLIC")
    assert [one.name for one in operators.all()] == ["ward"]
    assert len(operators.problems) == 1 and "torn.pub" in operators.problems[0]
    (tmp_path / "torn.pub").unlink()
    assert operators.all() and not operators.problems
