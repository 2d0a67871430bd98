"""What a person may be called here, and who is meant by what was typed."""

import json

import pytest

from edge_agent.cli.people_asking import Aliases, Book
from edge_agent.people.state import PeopleError
from tests.edge_agent.running import Kit

ADA, BOB = b"\xab" * 16, b"\xab\xba" + bytes(14)


@pytest.mark.parametrize("name", ["abba", "ABBA", "1234", "deadbeef" * 4])
def test_a_name_is_never_read_as_digits(tmp_path, name) -> None:
    with pytest.raises(PeopleError, match="first digits of a pseudonym"):
        Aliases(tmp_path).keep(ADA, name)
    for other in ("Ada", "abba 3", "Abbas", name + "/", "ab" * 17):
        Aliases(tmp_path).keep(ADA, other)


def test_a_name_from_before_that_could_be_two_people_is_nobodys(tmp_path) -> None:
    kit = Kit(tmp_path)
    book = Book(kit.config())
    book.aliases.path.write_text(json.dumps({ADA.hex(): "abba", BOB.hex(): ""}))
    with pytest.raises(PeopleError, match="one person is called") as refused:
        book.person("abba")
    assert "give more" in str(refused.value)
    assert book.person("abba0") == BOB and book.person("abab") == ADA
    book.aliases.path.write_text(json.dumps({ADA.hex(): "abba"}))
    assert book.person("abba") == ADA
