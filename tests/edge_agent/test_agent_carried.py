"""What the agent does with what it does not know, and with alarms that are old when they come."""

import pytest

from edge_agent.store.database import open_file
from edge_agent.store.rows import journal_rows
from protocol import frames
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until

ALARM = {
    frames.EVENT_CODE: frames.EVENT_SPO2_LOW,
    frames.EVENT_PRIORITY: frames.PRIORITY_HIGH,
    frames.EVENT_STATE: frames.STATE_BEGAN,
}


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def test_what_is_of_a_later_protocol_is_kept_as_it_is_and_counted(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: kit.status["nodes"][0]["live"], "live")
            strange = [node.make(77, {1: "what?"}), node.make(frames.KIND_VITALS, {1: 720, 99: 1, 98: 2})]
            carried = {"unknown_key": 2, "unknown_kind": 1}
            wait_until(lambda: kit.status["carried"] == carried, "both counted")
            # A new connection begins a new session; the count goes on.
            for session in running.agent.sessions.values():
                session.drop(node.identity.id)
            strange.append(node.make(77, {}))
            carried["unknown_kind"] = 2
            wait_until(lambda: kit.status["carried"] == carried, "counted on")
            assert kit.status["rejected"].keys() <= {"no_session"}
            node.making = False
            wait_until(lambda: node.held == 0, "all of it acknowledged")
        with open_file(kit.folder / "agent.db") as db:
            kept = {row.data for row in journal_rows(db, 0, 1 << 40)}
        assert {node.made[node.boot.boot_id, seq] for seq in strange} <= kept


def test_an_alarm_from_before_the_connection_is_past(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        node.make(frames.KIND_EVENT, ALARM | {frames.EVENT_ALARM: 1})
        with Running(kit.config(node.pipe.name)):
            (told,) = wait_until(lambda: kit.status["nodes"][0].get("events"), "the old alarm")
            assert told["past"] and told["alarm"] and kit.status["nodes"][0]["alarms"] == []
            wait_until(lambda: kit.status["nodes"][0]["live"], "live")
            node.make(frames.KIND_EVENT, ALARM | {frames.EVENT_ALARM: 2})
            (alarm,) = wait_until(lambda: kit.status["nodes"][0]["alarms"], "the new one rings")
            assert (alarm["number"], alarm["past"], alarm["event"]) == (2, False, "SpO2 low")
            node.make(frames.KIND_EVENT, ALARM | {frames.EVENT_ALARM: 2, frames.EVENT_STATE: 2})
            wait_until(lambda: kit.status["nodes"][0]["alarms"] == [], "it ends")
