"""A kit in its Wi-Fi that nobody has claimed: over the radio it pairs with whoever asks while its button is
held for 5 s, and with nobody without it.
"""

import os
from collections.abc import Callable

import pytest

from boards.virtual.rig import VirtualNode
from protocol import improv as iw
from protocol import messages
from protocol import session_events as ev
from tests.firmware.test_wifi import HOME, kit, kit_tree, person  # noqa: F401 - fixtures
from tests.firmware.wifi_world import Announced, Person, TcpAgent


@pytest.fixture
def at_home(kit: VirtualNode, person: Person) -> VirtualNode:  # noqa: F811 - fixtures
    """The kit in its network, by an Improv client at its cable."""
    kit.air.set([HOME])
    assert person.state() == iw.STATE_AUTHORIZED
    assert person.give(HOME.ssid, HOME.password) == 0
    return kit


def asks(agent: TcpAgent, button: bool) -> "ev.PairReply | int":
    """One request; the answer to it, or the code of the refusal."""
    before = len(agent.events)
    agent.session.request_pairing(os.urandom(16), None, button)

    def said() -> "list[ev.PairReply | ev.Refused]":
        return [one for one in agent.events[before:] if isinstance(one, (ev.PairReply, ev.Refused))]

    one = agent.until(said)[0]
    return one if isinstance(one, ev.PairReply) else one.code


def test_over_wifi_it_wants_its_button(at_home: VirtualNode, make_agent: Callable[..., TcpAgent]) -> None:
    agent = TcpAgent()
    agent.pairing = False
    try:
        with Announced(agent.identity, agent.line.port):
            agent.until(lambda: [one for one in agent.events if isinstance(one, ev.Announced) and one.ed_pub])
            for button in (False, True):
                assert asks(agent, button) == messages.REFUSE_CONSENT
            # A press for a measurement is none.
            at_home.press(1.0)
            assert asks(agent, False) == messages.REFUSE_CONSENT
            assert not (at_home.flash_dir / "state" / "agents").exists()
            at_home.press(60)
            reply = asks(agent, True)
            assert isinstance(reply, ev.PairReply) and reply.signature_ok
            agent.until(lambda: agent.frames)
    finally:
        agent.close()
