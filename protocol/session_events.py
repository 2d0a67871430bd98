"""What a session tells its owner: plain values, one class a fact."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class HelloAccepted:
    """A paired node's hello checked out.

    boots: [(boot_id, next_seq, [(first, count), …]), …], newest first; agents: the ids of all that the newest
    boot is open to.
    """

    def __init__(
        self,
        node_id: bytes,
        conn: int,
        boots: "list[tuple[bytes, int, list[tuple[int, int]]]]",
        agents: "list[bytes]",
    ):
        self.node_id = node_id
        self.conn = conn
        self.boots = boots
        self.agents = agents


class Announced:
    """A node that is not paired with this agent said hello; nothing of it is verified.

    Keys are None when it showed none: it has an agent. `ours`: this one is among them, it says.
    """

    def __init__(self, node_id: bytes, ed_pub: "bytes | None", x_pub: "bytes | None", ours: bool = False):
        self.node_id = node_id
        self.ed_pub = ed_pub
        self.x_pub = x_pub
        self.ours = ours


class FrameIn:
    """An authentic frame; `plaintext` is as the node made it, `frame` its (kind, t_us, body), or None when it
    is malformed all the same; a body that was seen to be sound without being decoded is None; `wire_bytes`
    the length of its message before framing, `past`: made before the connection began (an alarm among them
    rings nowhere)."""

    def __init__(
        self,
        node_id: bytes,
        boot_id: bytes,
        seq: int,
        plaintext: bytes,
        frame: "tuple[int, int, Any] | None",
        wire_bytes: int,
        past: bool = False,
    ):
        self.node_id = node_id
        self.boot_id = boot_id
        self.seq = seq
        self.plaintext = plaintext
        self.frame = frame
        self.wire_bytes = wire_bytes
        self.past = past


class TimeEcho:
    """The node answered a ping: it received `token` at `rx_us` and made the answer at `tx_us`, both on its
    own clock."""

    def __init__(self, boot_id: bytes, token: int, rx_us: int, tx_us: int):
        self.boot_id = boot_id
        self.token = token
        self.rx_us = rx_us
        self.tx_us = tx_us


class Live:
    """The node proved that it is there now (first time echo of this connection)."""

    def __init__(self, node_id: bytes):
        self.node_id = node_id


class PairReply:
    """The answer to a pair request; keep the keys only if `signature_ok`."""

    def __init__(self, ed_pub: bytes, x_pub: bytes, nonce: bytes, signature_ok: bool):
        self.ed_pub = ed_pub
        self.x_pub = x_pub
        self.nonce = nonce
        self.signature_ok = signature_ok


class Refused:
    """The peer's refusal, a hint for a person (messages.REFUSE_*); `versions`: those it speaks, or None."""

    def __init__(self, code: int, versions: "list[int] | None" = None):
        self.code = code
        self.versions = versions


class Rejected:
    """A message was not accepted: `cause` is short and countable, `detail` is for people."""

    def __init__(self, cause: str, detail: str):
        self.cause = cause
        self.detail = detail


class Streaming:
    """Node: the agent proved genuine; frames flow."""

    def __init__(self, agent_id: bytes):
        self.agent_id = agent_id


class Acked:
    """Node: `count` frames are on the agent's disk and no longer held here."""

    def __init__(self, count: int):
        self.count = count


class TimeAsked:
    """Node: the agent wants a time echo; `stamp` is what the owner passed to feed() with the bytes."""

    def __init__(self, token: int, stamp: "Any"):
        self.token = token
        self.stamp = stamp


class PairAsked:
    """Node: an agent asks to pair; the owner decides and calls accept_pairing() or refuse_pairing().

    `authority`: whose orders the node is to believe, too ([ed25519 public, x25519 public]); []: nobody's any
    more; None: this is not what is asked. `button`: only with the node's button."""

    def __init__(
        self, ed_pub: bytes, x_pub: bytes, nonce: bytes, authority: "Any" = None, button: bool = False
    ):
        self.ed_pub = ed_pub
        self.x_pub = x_pub
        self.nonce = nonce
        self.authority = authority
        self.button = button


class AgentLeftOut:
    """Node: no header can be made for a stored agent; this boot is as if it were not paired. `detail`: why,
    for people."""

    def __init__(self, agent_id: bytes, detail: str):
        self.agent_id = agent_id
        self.detail = detail


class DownlinkIn:
    """Node: an authentic downlink frame of a kind that the session itself does not handle."""

    def __init__(self, kind: int, body: "Any"):
        self.kind = kind
        self.body = body


class FlowChanged:
    """Node: what the agent takes from now on. `bytes_s` 0: any number."""

    def __init__(self, waves: bool, bytes_s: int, most: int):
        self.waves = waves
        self.bytes_s = bytes_s
        self.most = most
