"""Orders that a node has carried out: which it remembers, and for how long."""

import sys

from firmware.orders import MAX_ANSWERS, order_steps
from protocol import frames as f
from protocol import on_demand, orders
from protocol.crypto import run, sha256
from protocol.identity import generate_steps

AUTHORITY = run(generate_steps(bytes(range(64))))
ME = run(generate_steps(bytes(64)))
BOOT_ID = bytes(12)


class Node:
    """As much of a node as an order needs; `marked` counts what was carried out."""

    def __init__(self):
        self.start = self.record = self.store = self.clock = self.sealer = self
        self.identity = ME
        self.boot_id = BOOT_ID
        self.now = 1000
        self.marked = 0
        self.settings = None
        self.sealed = []
        self.answers = []
        self.authorities = {AUTHORITY.id: AUTHORITY.ed_pub}

    def now_us(self):
        return self.now

    def drain(self):
        pass

    def seal(self, kind, body):
        assert kind == f.KIND_ANSWER
        self.sealed.append(body)

    def report(self, code, priority, value=None, text=None):
        assert code == f.EVENT_MARK
        self.marked += 1

    def asked(self, body, kind=f.KIND_COMMAND):
        """The result that the node answers with."""
        assert run(order_steps(self, kind, body, bytes(8), self.answers))
        assert self.sealed[-1][f.ANSWER_ID] == body[f.ORDER_ID]
        assert len(self.answers) <= MAX_ANSWERS
        return self.sealed[-1][f.ANSWER_RESULT]


def order(number, expires_us=100000, signed=False):
    body = {
        f.ORDER_ID: number.to_bytes(8, "big"),
        f.ORDER_WHAT: f.OP_MARK,
        f.ORDER_EXPIRES_US: expires_us,
        f.ORDER_MS: 1,
    }
    if signed:
        run(orders.sign_steps(AUTHORITY, ME.id, BOOT_ID, f.KIND_COMMAND, body))
    return body


def test_a_signed_order_is_carried_out_once_whatever_is_asked_in_between():
    node = Node()
    signed = order(1, signed=True)
    assert node.asked(signed) == f.RESULT_DONE
    for n in range(100, 100 + 3 * MAX_ANSWERS):
        assert node.asked(order(n)) == f.RESULT_DONE
    before = node.marked
    assert node.asked(signed) == f.RESULT_DONE and node.marked == before
    node.now = 100001
    for n in range(200, 200 + MAX_ANSWERS):
        assert node.asked(order(n, 200000)) == f.RESULT_DONE
    before = node.marked
    assert node.asked(signed) == f.RESULT_EXPIRED and node.marked == before


def test_an_answer_names_what_was_signed():
    node = Node()
    signed, own = order(1, signed=True), order(1)
    assert node.asked(signed) == f.RESULT_DONE
    message = orders.order_message(ME.id, BOOT_ID, f.KIND_COMMAND, signed)
    digest = sha256(message)[:8]
    assert node.sealed[-1][f.ANSWER_DIGEST] == digest
    # The agent's own order under that id gets the answer to the signed one,
    assert node.asked(own) == f.RESULT_DONE and node.sealed[-1][f.ANSWER_DIGEST] == digest
    # and where it comes first, the signed one gets an answer that is not its own.
    node = Node()
    assert node.asked(own) == f.RESULT_DONE and node.asked(signed) == f.RESULT_DONE
    assert node.marked == 1 and f.ANSWER_DIGEST not in node.sealed[-1]


def test_only_what_was_signed_and_could_be_read_has_a_digest():
    node = Node()
    forged = order(1, signed=True)
    forged[f.ORDER_SIGNATURE] = bytes(64)
    assert node.asked(forged) == f.RESULT_UNAUTHORISED and f.ANSWER_DIGEST in node.sealed[-1]
    for key in (f.ORDER_AUTHORITY, f.ORDER_SIGNATURE):
        half = order(2 + key, signed=True)
        del half[key]
        assert node.asked(half) == f.RESULT_UNAUTHORISED and f.ANSWER_DIGEST not in node.sealed[-1]
    bad = order(20, signed=True)
    bad[f.ORDER_MS] = "now"
    assert node.asked(bad) == f.RESULT_MALFORMED and f.ANSWER_DIGEST not in node.sealed[-1]
    # What has other things under the keys of authority, signature and expiry.
    data = {f.UPDATE_ID: bytes(8), f.UPDATE_STEP: f.STEP_DATA, f.UPDATE_OFFSET: 0, f.UPDATE_DATA: b"x"}
    assert run(order_steps(node, f.KIND_UPDATE, data, bytes(8), node.answers))
    assert node.sealed[-1] == {f.ANSWER_ID: bytes(8), f.ANSWER_RESULT: f.RESULT_UNSUPPORTED}


def test_when_only_signed_ones_are_left_nothing_more_is_carried_out():
    node = Node()
    for n in range(MAX_ANSWERS):
        assert node.asked(order(n, 100000 + n, signed=True)) == f.RESULT_DONE
    for signed in (False, True):
        assert node.asked(order(50, signed=signed)) == f.RESULT_FAILED
    assert node.marked == MAX_ANSWERS
    assert node.asked(order(0, 100000, signed=True)) == f.RESULT_DONE and node.marked == MAX_ANSWERS
    # The first of them expires; an order that failed may be asked again.
    node.now = 100001
    assert node.asked(order(50, 200000)) == f.RESULT_DONE and node.marked == MAX_ANSWERS + 1


def test_a_bad_signature_keeps_nothing_for_long():
    node = Node()
    for n in range(2 * MAX_ANSWERS):
        bad = order(n, signed=True)
        bad[f.ORDER_MS] = 2
        assert node.asked(bad) == f.RESULT_UNAUTHORISED
    assert node.asked(order(99)) == f.RESULT_DONE and node.marked == 1


def test_an_order_is_carried_out_without_the_code_that_checked_it():
    """On a node it is 7 KB of the heap, which the next signature would give back only."""
    node = Node()
    assert node.asked(order(1, signed=True)) == f.RESULT_DONE
    for name in on_demand.SIGNING:
        assert ("protocol." + name in sys.modules) == (sys.implementation.name != "micropython"), name


def changed(number, key, value):
    body = order(number)
    body[key] = value
    return body


def test_a_node_judges_what_it_carries_out():
    for number, (kind, key, value) in enumerate(
        (
            (f.KIND_CONFIG, f.ORDER_WHAT, {f.SET_MAINS_HZ: "fifty"}),
            (f.KIND_CONFIG, f.ORDER_WHAT, {"x": 1}),
            (f.KIND_UPDATE, f.UPDATE_STEP, None),
            (f.KIND_COMMAND, f.ORDER_WHAT, 70000),
        )
    ):
        assert Node().asked(changed(number, key, value), kind) == f.RESULT_UNSUPPORTED, (kind, value)
    for key, value in ((f.ORDER_REASON, "r" * 100), (f.ORDER_EXPIRES_US, 1 << 60), (f.ORDER_MS, 1 << 62)):
        assert Node().asked(changed(1, key, value)) == f.RESULT_DONE, key
    for kind, key, value in (
        (f.KIND_CONFIG, f.ORDER_WHAT, 50),
        (f.KIND_COMMAND, f.ORDER_WHAT, "mark"),
        (f.KIND_COMMAND, f.ORDER_WHAT, -1),
        (f.KIND_COMMAND, f.ORDER_ARGS, "text"),
        (f.KIND_COMMAND, f.ORDER_ARGS, {1: 5}),
        (f.KIND_COMMAND, f.ORDER_EXPIRES_US, -1),
        (f.KIND_COMMAND, f.ORDER_MS, None),
        (f.KIND_COMMAND, f.ORDER_REASON, b"r"),
        (f.KIND_COMMAND, f.ORDER_AUTHORITY, bytes(7)),
        (f.KIND_COMMAND, f.ORDER_SIGNATURE, bytes(63)),
    ):
        assert Node().asked(changed(1, key, value), kind) == f.RESULT_MALFORMED, (kind, key, value)


class Leaving(Node):
    """A node with one agent, which may leave it."""

    def __init__(self):
        Node.__init__(self)
        self.session = self
        self.agents = []
        self.removed = []
        self.features = {}
        self.alarms = self
        self.binding = False

    def remove_agent(self, agent_id):
        self.removed.append(agent_id)

    def forget_agent(self, agent_id):
        pass

    def restart(self):
        pass


def test_an_id_of_one_kind_is_no_id_of_another():
    node = Leaving()
    assert node.asked(order(1)) == f.RESULT_DONE and node.marked == 1
    assert node.asked({f.UNPAIR_ID: order(1)[f.ORDER_ID]}, f.KIND_UNPAIR) == f.RESULT_DONE
    assert node.removed == [bytes(8)]
    assert node.asked(order(1)) == f.RESULT_DONE and node.marked == 1


def test_signed_orders_that_must_be_kept_stand_in_no_unpairings_way():
    node = Leaving()
    for n in range(MAX_ANSWERS):
        assert node.asked(order(n, 1 << 40, signed=True)) == f.RESULT_DONE
    unpair = {f.UNPAIR_ID: b"unpairme"}
    assert node.asked(unpair, f.KIND_UNPAIR) == f.RESULT_DONE
    assert node.asked(unpair, f.KIND_UNPAIR) == f.RESULT_DONE
    assert node.removed == [bytes(8)] * 2 and node.marked == MAX_ANSWERS
