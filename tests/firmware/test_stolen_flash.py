"""A flash chip that is taken off and read: what it opens of what was said before, and what it lacks."""

from pathlib import Path

import pytest

from firmware import entropy
from firmware.entropy import EntropyPool
from firmware.flash import Records
from firmware.keys import KeyStore
from protocol import cobs, crypto, frames, messages
from protocol.crypto import run
from protocol.errors import SealError
from protocol.seal import BootKeys, unwrap_header_steps


@pytest.fixture
def dead_generator(monkeypatch):
    """What is drawn here depends on the flash alone."""

    class Dead:
        urandom = staticmethod(lambda n: bytes(n))
        ticks_cpu = staticmethod(lambda: 0)

    monkeypatch.setattr(entropy, "os", Dead)
    monkeypatch.setattr(entropy, "time", Dead)


def everything(folder: Path, *more: Path) -> bytes:
    """All bytes of all files."""
    files = [path for path in folder.rglob("*") if path.is_file()] + [path for path in more if path.exists()]
    return b"".join(path.read_bytes() for path in sorted(files))


def said(raw: bytes, sort: int) -> "list[bytes]":
    return [one for one in cobs.Decoder().feed(raw) if messages.sort(one) == sort]


def test_what_was_sent_before_stays_closed(make_node, make_agent, dead_generator):
    node = make_node()
    agent = make_agent(node.port)
    for n in range(2):
        agent.until(lambda n=n: len(agent.frames) == n + 1 and len(agent.of(frames.KIND_VITALS)) > 2)
        node.kill() if n else node.reset(hard=True)
    hellos = [
        messages.parse_clear(one)[1] for one in said(agent.raw, messages.SORT_CLEAR) if one[1:3] == b"\0\1"
    ]
    boots = {boot[0]: boot[1] for hello in hellos for boot in hello["boots"] if boot[1]}
    assert len(boots) == 2 and len(said(agent.raw, messages.SORT_DATA)) > 10
    state = Records(str(node.flash_dir / "state"))
    identity = run(KeyStore(state).identity_steps(lambda n: bytes(n), True))
    image = everything(node.flash_dir, Path(node._rtc_path))
    assert identity.ed_seed in image and identity.x_sk in image, "what a thief does get"
    data = [messages.split_data(one)[1] for one in said(agent.raw, messages.SORT_DATA)]
    for boot_id, headers in boots.items():
        (_, enc, wrapped), node_keys = headers[0], agent.known[agent.session.node_id]
        K = run(
            unwrap_header_steps(enc, wrapped, boot_id, agent.identity, agent.session.node_id, node_keys[1])
        )
        up_key = crypto.hkdf(K, boot_id, b"vitalwire/1 up key", 16)
        assert any(opens(BootKeys(K, boot_id), one) for one in data), "the agent can"
        # Nothing that would open them is on the flash, nor in the memory that survives a reset, …
        for secret in (K, up_key, wrapped, enc, BootKeys(K, boot_id)._hello_key):
            assert secret not in image
        # … the node's own keys do not unwrap what it wrapped, …
        for x_pub in (node_keys[1], agent.identity.x_pub):
            with pytest.raises(SealError):
                run(unwrap_header_steps(enc, wrapped, boot_id, identity, identity.id, x_pub))
        # … and the stored seed is the next boot's: nothing of an earlier one follows from it.
        pool = EntropyPool(state, lambda seeded: (b"", False))
        drawn = [pool.random(n) for n in (64, 8, 16, 32, 16, 16)]
        assert not any(
            opens(BootKeys(one, boot_id), sealed) for one in drawn if len(one) == 16 for sealed in data
        )


def opens(keys: BootKeys, sealed: bytes) -> bool:
    try:
        keys.open(sealed)
    except SealError:
        return False
    return True


def test_a_retired_seed_gives_nothing_of_its_boot(dead_generator, tmp_path):
    """The seed on flash was made from the state before the draws, one way; both known to the byte here."""
    records = Records(str(tmp_path))
    first = EntropyPool(records, lambda seeded: (b"radio", True))
    stored = records.read("seed")
    K = first.random(16)
    copy = EntropyPool(records, lambda seeded: (b"", False))
    assert stored is not None and K not in (stored[1:17], stored[17:])
    assert K not in [copy.random(16) for _ in range(50)]
