"""Inputs for hypothesis, which makes a failing one small: sound ones with edits, and CBOR of any shape."""

from hypothesis import strategies as st

from protocol import cbor
from tools.fuzz.mutate import BOUNDARIES, LENGTHS
from tools.fuzz.programs import assemble, steps_of

LEAVES = st.one_of(
    st.sampled_from(BOUNDARIES),
    st.integers(0, 300),
    st.sampled_from(LENGTHS).map(bytes),
    st.binary(max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.booleans(),
    st.none(),
)
KEYS = st.one_of(
    st.integers(0, 17), st.sampled_from(BOUNDARIES), st.text("ab", max_size=2), st.binary(max_size=2)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)
BODIES = st.dictionaries(st.integers(0, 17), VALUES, max_size=8)
FRAMES = st.tuples(st.one_of(st.integers(0, 40), LEAVES), LEAVES, st.one_of(BODIES, VALUES)).map(list)


@st.composite
def edited(draw: st.DrawFn, sound: "list[bytes]", least: int = 1) -> bytes:
    """One of `sound` with bytes replaced, cut out, put in or repeated."""
    data = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(least, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.integers(0, 4))
        if what == 0 and data:
            data[at] = draw(st.integers(0, 255))
        elif what == 1:
            del data[at : at + draw(st.integers(1, 16))]
        elif what == 2:
            data[at:at] = draw(st.binary(max_size=9))
        elif what == 3:
            data[at:at] = data[at : at + draw(st.integers(0, 40))]
        else:
            del data[at:]
    return bytes(data)


def encoded(values: "st.SearchStrategy[object]") -> "st.SearchStrategy[bytes]":
    """The encoding of each; none for what is too deep."""
    return values.map(_encoded)


def _encoded(value: object) -> bytes:
    try:
        return cbor.dumps(value)
    except cbor.LocalError:
        return b""


@st.composite
def programs(draw: st.DrawFn, sound: "list[bytes]", contents: "dict[int, list[bytes]]") -> bytes:
    """A program of which steps were left out, put in, and edited."""
    steps = steps_of(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(steps)))
        if draw(st.booleans()):
            what = draw(st.sampled_from(sorted(contents)))
            steps.insert(at, (what, draw(edited(contents[what], least=0))))
        elif steps:
            del steps[min(at, len(steps) - 1)]
    return assemble(steps)
