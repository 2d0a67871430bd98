"""docs/session.md is what the sessions' table says."""

import re

from protocol import session_states as st
from tools.transitions import PAGE, page


def test_the_page_is_what_its_generator_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.transitions"


def test_the_diagrams_and_the_tables_hold_every_pair_and_no_other():
    arrows = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", page(), re.MULTILINE))
    wanted = {(state, after, fact) for table in (st.NODE, st.AGENT) for (state, fact), after in table.items()}
    assert arrows == wanted
    cells = re.findall(r"^\| \*\*\w+\*\* \|(.*)\|$", page(), re.MULTILINE)
    filled = [cell.strip() for row in cells for cell in row.split("|") if cell.strip()]
    assert sorted(filled) == sorted([*st.NODE.values(), *st.AGENT.values()])


def test_every_state_and_input_has_a_meaning_and_nothing_else_has():
    names = {name for table in (st.NODE, st.AGENT) for pair in table for name in pair}
    assert set(st.MEANINGS) == names
