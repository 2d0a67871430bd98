"""`python -m tools.transitions`: docs/session.md, made from the table that the sessions run on."""

from pathlib import Path

from protocol import session_states as st

PAGE = Path(__file__).resolve().parents[1] / "docs" / "session.md"

INTRODUCTION = """\
# The session's states

Made from `protocol/session_states.py` by `python -m tools.transitions`; a test holds it to that. What a
session does on the way is in [wire-protocol.md](wire-protocol.md), §10. An input in a state whose cell is
empty leaves the state as it was; which of them are counted, and by what cause, is in
[checklist.md](wire-protocol/checklist.md#order-of-checks).
"""


def page() -> str:
    """The whole of docs/session.md."""
    return "\n".join([INTRODUCTION, *_role("Node", st.NODE, st.IDLE), *_role("Agent", st.AGENT, st.WAITING)])


def _role(name: str, table: dict[tuple[str, str], str], first: str) -> list[str]:
    states = _in_order(state for state, _ in table)
    inputs = _in_order(fact for _, fact in table)
    lines = [f"## {name}", "", "```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state} --> {after}: {fact}" for (state, fact), after in table.items()]
    lines += ["```", "", "| state | meaning |", "|---|---|"]
    lines += [f"| {state} | {st.MEANINGS[state]} |" for state in states]
    lines += ["", "| input | meaning |", "|---|---|"]
    lines += [f"| {fact} | {st.MEANINGS[fact]} |" for fact in inputs]
    lines += ["", f"| in | {' | '.join(inputs)} |", "|---" * (len(inputs) + 1) + "|"]
    for state in states:
        cells = [table.get((state, fact), "") for fact in inputs]
        lines.append(f"| **{state}** | {' | '.join(cells)} |")
    return [*lines, ""]


def _in_order(names) -> list[str]:
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
