"""What agents ask of a node: the time, pairing, orders."""

import sys

from protocol import frames, messages
from protocol.identity import node_id as party_id

# Orders that wait for their turn; an agent repeats what is not answered.
MAX_WAITING = 4
# Over a radio anybody may ask: while two do within so long, whose button is held is for nobody to know.
CONTEST_MS = 10000


class Requests:
    """The owner of the node's Link. `node` is the Node."""

    def __init__(self, node):
        self._node = node
        self._answers = []
        self._waiting = 0
        # Who asked last over a radio, and when; until when another one did.
        self._asker = None
        self._asker_ms = 0
        self.contested_ms = 0

    def time_asked(self, token, rx_us):
        """The agent's ping: say when it came and when this was written."""
        body = {frames.TIME_TOKEN: token, frames.TIME_RECEIVED_US: rx_us}
        self._node.sealer.seal(frames.KIND_TIME, body)

    def pair_asked(self, ed_pub, x_pub, nonce, authority=None, button=False):
        """Pair with whoever asks first over the cable, and with another while the button is held. Over a
        radio, or where the agent wants the `button` or is to have an authority believed: only once it has
        been held for a while.
        """
        node = self._node
        asked = ed_pub, x_pub, nonce, authority, button
        cable = node.link.cable
        if authority is None and not button and (cable or (ed_pub, x_pub) in node.start.agents):
            self.pair(*asked)
            return
        if not cable:
            now_ms = node.clock.now_ms()
            if self._asker not in (None, ed_pub) and now_ms - self._asker_ms < CONTEST_MS:
                self.contested_ms = now_ms + CONTEST_MS
            self._asker = ed_pub
            self._asker_ms = now_ms
        if not node.board.consent():
            node.session.refuse_pairing(messages.REFUSE_CONSENT)
        elif not node.link.stays:
            node.link.stays = True
            node.link.add_work(self._authorise_steps(asked, cable))

    def _authorise_steps(self, asked, cable):
        try:
            from firmware import authorise

            yield from authorise.answer_steps(self._node, self, asked, cable)
        finally:
            self._node.link.stays = False
            forget("authorise")

    def pair(self, ed_pub, x_pub, nonce, authority, button, held=False):
        """As `pair_asked`, whose `authority` the node has taken already; `held`: the button was."""
        node = self._node
        start = node.start
        known = (ed_pub, x_pub) in start.agents
        if not (known or held) and start.agents and not node.board.consent():
            node.session.refuse_pairing()
        else:
            keep = None if known else self._keep
            node.session.accept_pairing(ed_pub, x_pub, nonce, keep, authority, button)

    def _keep(self, ed_pub, x_pub):
        try:
            from firmware import pairs

            return pairs.keep_pair(self._node, ed_pub, x_pub)
        finally:
            forget("pairs")

    def agent_left_out(self, agent_id, detail):
        """A stored agent has keys that no header can be made with: as if it were not paired."""
        start = self._node.start
        start.agents = [pair for pair in start.agents if party_id(pair[0], pair[1]) != agent_id]
        text = "agent %s: %s" % (agent_id.hex(), detail)
        self._node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, text)

    def ordered(self, kind, body):
        """A command, config, update or unpair of the agent that is connected; what is none of them has been
        counted.
        """
        node = self._node
        if not frames.KIND_COMMAND <= kind <= frames.KIND_UNPAIR:
            return
        if kind == frames.KIND_UPDATE and "update" in node.features:
            if not node.features["update"].take(body):
                self._reject("malformed")
            return
        if self._waiting >= MAX_WAITING:
            self._reject("too_many_orders")
            return
        node.link.add_work(self._order_steps(kind, body, node.session.agent_id))
        self._waiting += 1

    def _order_steps(self, kind, body, agent_id):
        try:
            from firmware import orders

            if not (yield from orders.order_steps(self._node, kind, body, agent_id, self._answers)):
                self._reject("malformed")
        finally:
            self._waiting -= 1
            forget("orders")

    def _reject(self, cause):
        rejected = self._node.session.rejected
        rejected[cause] = rejected.get(cause, 0) + 1


def forget(name):
    """Give the heap back what importing the module `name` of this room took."""
    sys.modules.pop("firmware." + name, None)
    room = sys.modules.get("firmware")
    if hasattr(room, name):
        delattr(room, name)
