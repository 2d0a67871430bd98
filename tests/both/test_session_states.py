from protocol import session_states as st

NODE_STATES = (st.IDLE, st.GREETING, st.OPENING, st.STREAMING)
AGENT_STATES = (st.WAITING, st.PROVING, st.LIVE)
NODE_INPUTS = (st.BEGIN, st.WELCOME, st.OPEN_FAILED, st.AUTHENTIC, st.CLOSE)
AGENT_INPUTS = (st.HELLO, st.FRAME, st.ECHO, st.CLOSE)


def walk(table, states, inputs):
    allowed = 0
    for state in states:
        for fact in inputs:
            if (state, fact) in table:
                assert st.step(table, state, fact) in states
                allowed += 1
                continue
            try:
                st.step(table, state, fact)
                raise AssertionError("accepted " + fact + " while " + state)
            except st.TransitionError as e:
                assert e.state == state and e.input == fact
                assert e.cause == "out_of_turn" and state in str(e)
    assert allowed == len(table)


def test_every_node_pair_is_allowed_or_a_named_error():
    walk(st.NODE, NODE_STATES, NODE_INPUTS)


def test_every_agent_pair_is_allowed_or_a_named_error():
    walk(st.AGENT, AGENT_STATES, AGENT_INPUTS)


def test_streaming_is_only_reached_through_a_genuine_message():
    assert {s for (s, f), after in st.NODE.items() if after == st.STREAMING} == {st.OPENING, st.STREAMING}
    assert {f for (s, f), after in st.NODE.items() if after == st.STREAMING} == {st.AUTHENTIC}


def test_live_is_only_reached_through_an_echo():
    assert {f for (s, f), after in st.AGENT.items() if after == st.LIVE and s != st.LIVE} == {st.ECHO}
