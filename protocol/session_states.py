"""The session's one transition table, for both roles (docs/wire-protocol.md §10).

Theory of operation. A *node* is idle until its link may be up; it says hello and waits for a welcome
(greeting), derives the downlink keys from it in slices (opening), and streams from the first sealed message
that proves genuine. An *agent* waits for a hello, answers it and asks for a time echo (proving), and takes
the connection for live when the echo comes back sealed: a recorded connection that is played again never
gets that far. Inputs are facts ("a welcome came"), never wishes. A pair that the table does not hold is an
error that names itself and leaves the state as it was.
"""

from protocol.errors import ProtocolError

IDLE = "idle"
GREETING = "greeting"
OPENING = "opening"
STREAMING = "streaming"

WAITING = "waiting"
PROVING = "proving"
LIVE = "live"

BEGIN = "begin"
WELCOME = "welcome"
OPEN_FAILED = "open_failed"
AUTHENTIC = "authentic"
HELLO = "hello"
FRAME = "frame"
ECHO = "echo"
CLOSE = "close"

NODE = {
    (IDLE, BEGIN): GREETING,
    (GREETING, BEGIN): GREETING,
    (OPENING, BEGIN): GREETING,
    (STREAMING, BEGIN): GREETING,
    (GREETING, WELCOME): OPENING,
    (OPENING, OPEN_FAILED): GREETING,
    (OPENING, AUTHENTIC): STREAMING,
    (STREAMING, AUTHENTIC): STREAMING,
    (IDLE, CLOSE): IDLE,
    (GREETING, CLOSE): IDLE,
    (OPENING, CLOSE): IDLE,
    (STREAMING, CLOSE): IDLE,
}

AGENT = {
    (WAITING, HELLO): PROVING,
    (PROVING, HELLO): PROVING,
    (LIVE, HELLO): PROVING,
    (PROVING, FRAME): PROVING,
    (LIVE, FRAME): LIVE,
    (PROVING, ECHO): LIVE,
    (LIVE, ECHO): LIVE,
    (WAITING, CLOSE): WAITING,
    (PROVING, CLOSE): WAITING,
    (LIVE, CLOSE): WAITING,
}


# In a word, for docs/session.md (python -m tools.transitions).

MEANINGS = {
    IDLE: "no connection; the boot's headers are not all made yet",
    GREETING: "a hello is on its way, again after 2, 4 and 8 s",
    OPENING: "a welcome came; its keys are being derived, and not proved",
    STREAMING: "the agent is genuine; frames go, acks come",
    WAITING: "no connection; nothing is known of who is there",
    PROVING: "a hello was accepted; frames are stored, and may be a recording's",
    LIVE: "the node is there now",
    BEGIN: "a new connection: a timer, a solicit, or silence while frames wait",
    WELCOME: "a paired agent's welcome to this connection's hello",
    OPEN_FAILED: "the welcome's keys are no good",
    AUTHENTIC: "a downlink message that opens, with a new counter",
    HELLO: "a hello under the tag of a paired node, newer than all before",
    FRAME: "a frame that opens",
    ECHO: "a time echo of a token of this connection",
    CLOSE: "the connection ends here: another header, or no numbers left",
}


class TransitionError(ProtocolError):
    """The peer did something that this state has no place for; `state` and `input` say what."""

    cause = "out_of_turn"
    layer = "session"

    def __init__(self, state: str, fact: str):
        super().__init__(fact + " while " + state)
        self.state = state
        self.input = fact


def step(table: "dict[tuple[str, str], str]", state: str, fact: str) -> str:
    """The state after `fact`; raises TransitionError and changes nothing where the table has no such
    pair."""
    after = table.get((state, fact))
    if after is None:
        raise TransitionError(state, fact)
    return after
