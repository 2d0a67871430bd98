"""Bundles of updates: the same for the same files, and no byte of one is unchecked."""

import pytest

from protocol import bundle, cbor, crypto
from protocol.errors import LocalError
from protocol.identity import generate_steps
from protocol.update import UpdateError

MAKER = crypto.run(generate_steps(bytes(64)))
FILES = {"start.py": b"x" * 70, "firmware/app.mpy": bytes(range(60)), "empty.py": b""}


def signed() -> bundle.Bundle:
    return bundle.sign(bundle.make("a_board", "0.2.0", FILES), MAKER)


def test_what_is_in_one():
    found = bundle.read(signed().encoded())
    found.verify([bytes(32), MAKER.ed_pub])
    assert (found.board, found.version, found.signed) == ("a_board", "0.2.0", True)
    assert found.paths == ("empty.py", "firmware/app.mpy", "start.py")
    assert [found.object(n) for n in range(4)] == [found.manifest, b"", FILES["firmware/app.mpy"], b"x" * 70]
    assert found.id == crypto.sha256(found.manifest)[:8]


def test_the_same_files_give_the_same_bytes():
    backwards = dict(reversed(FILES.items()))
    unsigned = bundle.make("a_board", "0.2.0", backwards)
    assert bundle.sign(unsigned, MAKER).encoded() == signed().encoded()
    # Signed again, also by who did before.
    assert bundle.sign(signed(), MAKER).encoded() == signed().encoded()
    assert bundle.read(unsigned.encoded()) == unsigned


def test_every_byte_is_checked():
    encoded = signed().encoded()
    for at in range(len(encoded)):
        for bit in (1, 16, 128):
            changed = bytearray(encoded)
            changed[at] ^= bit
            with pytest.raises(UpdateError):
                bundle.read(bytes(changed)).verify([MAKER.ed_pub])


def test_cut_off_or_with_something_behind():
    encoded = signed().encoded()
    for at in range(len(encoded)):
        with pytest.raises(UpdateError):
            bundle.read(encoded[:at])
    with pytest.raises(UpdateError):
        bundle.read(encoded + b"\0")
    with pytest.raises(UpdateError, match="at most"):
        bundle.read(bytes(bundle.MAX_BUNDLE + 1))


def test_what_nobody_signed_is_not_verified():
    with pytest.raises(UpdateError, match="nobody"):
        bundle.make("a_board", "0.2.0", FILES).verify([MAKER.ed_pub])
    with pytest.raises(UpdateError):
        signed().verify([bytes(32)])


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([], id="empty"),
        pytest.param(["vitalwire/2 bundle", b"", []], id="another version"),
        pytest.param([bundle.SIGNED, "text", []], id="text for a manifest"),
        pytest.param([bundle.SIGNED, b"", {}], id="map for files"),
        pytest.param([bundle.SIGNED, b"", ["text"]], id="text for a file"),
        pytest.param([bundle.UNSIGNED, bytes(20000), []], id="long manifest"),
        pytest.param([[[[[[[[]]]]]]]], id="deep"),
    ],
)
def test_of_another_form(found):
    with pytest.raises(UpdateError):
        bundle.read(cbor.dumps(found))


@pytest.mark.parametrize("path", ["main.py", "../start.py", "state/x.py", "start.txt", "slot_b/start.py"])
def test_files_that_no_update_may_bring(path):
    with pytest.raises(LocalError):
        bundle.make("a_board", "0.2.0", {path: b""})


def test_versions_that_are_none():
    with pytest.raises(LocalError):
        bundle.make("a_board", "1.0-beta", FILES)
    with pytest.raises(LocalError):
        bundle.make("a_board", "1.0", {})
