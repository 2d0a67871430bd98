"""What a session tells its owner: plain values, one class a fact."""


class HelloAccepted:
    """A paired node's hello checked out.

    boots: [(boot_id, next_seq, [(first, count), …]), …], newest first.
    """

    def __init__(self, node_id, conn, boots):
        self.node_id = node_id
        self.conn = conn
        self.boots = boots


class Announced:
    """A node that is not paired with this agent said hello; nothing of it is verified.

    Keys are None when it showed none.
    """

    def __init__(self, node_id, ed_pub, x_pub):
        self.node_id = node_id
        self.ed_pub = ed_pub
        self.x_pub = x_pub


class FrameIn:
    """An authentic frame; `plaintext` is as the node made it, `wire_bytes` the length of its message before
    framing."""

    def __init__(self, node_id, boot_id, seq, plaintext, wire_bytes):
        self.node_id = node_id
        self.boot_id = boot_id
        self.seq = seq
        self.plaintext = plaintext
        self.wire_bytes = wire_bytes


class TimeEcho:
    """The node answered a ping: it received `token` at `rx_us` and made the answer at `tx_us`, both on its
    own clock."""

    def __init__(self, boot_id, token, rx_us, tx_us):
        self.boot_id = boot_id
        self.token = token
        self.rx_us = rx_us
        self.tx_us = tx_us


class Live:
    """The node proved that it is there now (first time echo of this connection)."""

    def __init__(self, node_id):
        self.node_id = node_id


class PairReply:
    """The answer to a pair request; keep the keys only if `signature_ok`."""

    def __init__(self, ed_pub, x_pub, nonce, signature_ok):
        self.ed_pub = ed_pub
        self.x_pub = x_pub
        self.nonce = nonce
        self.signature_ok = signature_ok


class Refused:
    """The peer's refusal, a hint for a person (messages.REFUSE_*)."""

    def __init__(self, code):
        self.code = code


class Rejected:
    """A message was not accepted: `cause` is short and countable, `detail` is for people."""

    def __init__(self, cause, detail):
        self.cause = cause
        self.detail = detail


class Streaming:
    """Node: the agent proved genuine; frames flow."""

    def __init__(self, agent_id):
        self.agent_id = agent_id


class Acked:
    """Node: `count` frames are on the agent's disk and no longer held here."""

    def __init__(self, count):
        self.count = count


class TimeAsked:
    """Node: the agent wants a time echo; `stamp` is what the owner passed to feed() with the bytes."""

    def __init__(self, token, stamp):
        self.token = token
        self.stamp = stamp


class PairAsked:
    """Node: an agent asks to pair; the owner decides and calls accept_pairing() or refuse_pairing()."""

    def __init__(self, ed_pub, x_pub, nonce):
        self.ed_pub = ed_pub
        self.x_pub = x_pub
        self.nonce = nonce


class DownlinkIn:
    """Node: an authentic downlink frame of a kind that the session itself does not handle."""

    def __init__(self, kind, body):
        self.kind = kind
        self.body = body
