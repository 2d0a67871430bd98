"""One connection from the first byte to the last, in the order in which a stranger would check it."""

from typing import Any

from protocol import cbor, cobs, crypto, frames, identity, messages, seal
from tools.vectors import bodies
from tools.vectors.frames import BOOT_BODY, VITALS_BODY, WAVE_BODY
from tools.vectors.keys import (
    AGENT,
    DOWN_LABELS,
    NODE,
    UP_LABELS,
    derived,
    party_secrets,
    sealing,
    secret,
    tagged,
)

BOOT = (1).to_bytes(4, "big") + secret("session boot", 8)
CONTENT_KEY = secret("session content key", 16)
FIRST_NONCE = secret("session first hello nonce", 16)
SECOND_NONCE = secret("session second hello nonce", 16)
PAIR_NONCE = secret("session pair nonce", 16)
HEADER_EPHEMERAL = secret("session header ephemeral")
DOWN_EPHEMERAL = secret("session downlink ephemeral")
TOKEN = int.from_bytes(secret("session token", 6), "big")


class _Steps:
    """The messages in order; what is sealed has its number counted here."""

    def __init__(self, down: seal.Downlink):
        self.done: list[Any] = []
        self._keys = sealing(CONTENT_KEY, BOOT)
        self._down = down
        self._seq = 0
        self._counter = 0

    def add(self, sender: str, rule: str, what: str, message: bytes, **more: Any) -> None:
        """A message as it is, and whatever else is to be said of it."""
        step = {"what": what, "from": sender, "rule": rule, **more}
        self.done.append({**step, "message": message.hex(), "wire": cobs.encode(message).hex()})

    def made(self, kind: int, t_us: int, body: Any) -> "tuple[dict[str, Any], bytes]":
        """The next frame of the boot, sealed, to be sent by `up`."""
        plaintext = frames.pack(kind, t_us, body)
        sealed = self._keys.seal(self._seq, plaintext)
        parts = {"seq": self._seq, "kind": kind, "t_us": t_us, "body": tagged(body)}
        self._seq += 1
        return {**parts, "plaintext": plaintext.hex()}, messages.data(0, sealed)

    def up(self, what: str, made: "tuple[dict[str, Any], bytes]") -> None:
        """A frame of the boot, which is number 0 in the hello's list."""
        parts, message = made
        self.add("node", "data-message", what, message, **parts)

    def down(self, what: str, kind: int, t_us: int, body: Any) -> None:
        """A sealed message of the connection."""
        plaintext = frames.pack(kind, t_us, body)
        more = {
            "counter": self._counter,
            "kind": kind,
            "t_us": t_us,
            "body": tagged(body),
            "plaintext": plaintext.hex(),
        }
        self.add("agent", "downlink-message", what, self._down.seal(plaintext), **more)
        self._counter += 1


def session_vectors() -> Any:
    """The content of session.json."""
    header_info = cbor.dumps(["vitalwire/1 boot", NODE.id, AGENT.id, BOOT])
    enc, wrapped = crypto.run(
        seal.wrap_header_steps(CONTENT_KEY, BOOT, NODE, AGENT.id, AGENT.x_pub, HEADER_EPHEMERAL)
    )
    down_enc, down = crypto.run(
        seal.Downlink.sender_steps(AGENT, NODE.id, NODE.x_pub, BOOT, SECOND_NONCE, DOWN_EPHEMERAL)
    )
    down_info = cbor.dumps(["vitalwire/1 down", AGENT.id, NODE.id, BOOT, SECOND_NONCE])
    exported = _exported(DOWN_EPHEMERAL, NODE.x_pub, AGENT, down_info, b"vitalwire/1 down", 32)
    return {
        "secrets": {"node": party_secrets(NODE), "agent": party_secrets(AGENT)},
        "random": {
            "boot_id": BOOT.hex(),
            "content_key": CONTENT_KEY.hex(),
            "first_hello_nonce": FIRST_NONCE.hex(),
            "pair_nonce": PAIR_NONCE.hex(),
            "header_ephemeral": HEADER_EPHEMERAL.hex(),
            "second_hello_nonce": SECOND_NONCE.hex(),
            "downlink_ephemeral": DOWN_EPHEMERAL.hex(),
            "time_token": TOKEN,
        },
        "header": {
            "info": header_info.hex(),
            "enc": enc.hex(),
            "wrap_key": _exported(
                HEADER_EPHEMERAL, AGENT.x_pub, NODE, header_info, b"vitalwire/1 wrap", 16
            ).hex(),
            "wrapped": wrapped.hex(),
        },
        "up": derived(CONTENT_KEY, BOOT, UP_LABELS),
        "down": {
            "info": down_info.hex(),
            "enc": down_enc.hex(),
            "exported": exported.hex(),
            **derived(exported, SECOND_NONCE, DOWN_LABELS),
        },
        "steps": _steps(enc, wrapped, down_enc, down),
    }


def _exported(
    ephemeral: bytes, recipient: bytes, sender: identity.Identity, info: bytes, label: bytes, size: int
) -> bytes:
    _, context = crypto.run(
        crypto.hpke_auth_send_steps(recipient, info, sender.x_sk, sender.x_pub, ephemeral)
    )
    return crypto.hpke_export(context, label, size)


def _steps(enc: bytes, wrapped: bytes, down_enc: bytes, down: seal.Downlink) -> "list[Any]":
    keys = seal.BootKeys(CONTENT_KEY, BOOT)
    steps = _Steps(down)
    steps.add("agent", "solicit", "the cable is in: the agent asks for a hello", messages.solicit(1))
    body = messages.hello_body(1, NODE.id, FIRST_NONCE, 1, [[BOOT, [], 1, [[0, 1]]]], NODE.public())
    steps.add(
        "node",
        "hello",
        "boot 1, connection 1: paired with nobody, so it shows its keys; one frame, its boot frame, waits",
        messages.hello(body, keys.hello_tag(body)),
        body=body.hex(),
    )
    steps.add(
        "agent",
        "refusal",
        "a hint for people: this node is not paired with this agent",
        messages.refusal(1, messages.REFUSE_UNKNOWN),
    )
    steps.add(
        "agent", "pair-request", "the agent's keys", messages.pair_request(1, *AGENT.public(), PAIR_NONCE)
    )
    signed = identity.pair_message(*AGENT.public(), *NODE.public(), PAIR_NONCE)
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, signed))
    steps.add(
        "node",
        "pair-reply",
        "the node's keys, and its signature over both parties'",
        messages.pair_reply(1, *NODE.public(), PAIR_NONCE, signature),
        signed=signed.hex(),
    )
    body = messages.hello_body(1, NODE.id, SECOND_NONCE, 2, [[BOOT, [[AGENT.id, enc, wrapped]], 1, [[0, 1]]]])
    steps.add(
        "node",
        "hello",
        "connection 2: the boot's key is wrapped for the agent, who can check the tag now",
        messages.hello(body, keys.hello_tag(body)),
        body=body.hex(),
    )
    steps.add(
        "agent", "welcome", "the downlink begins", messages.welcome(1, AGENT.id, down_enc, SECOND_NONCE)
    )
    steps.down("is this live? a token to echo", frames.KIND_TIME_DOWN, 0, {frames.TIME_TOKEN: TOKEN})
    echo = {frames.TIME_TOKEN: TOKEN, frames.TIME_RECEIVED_US: 2_000_000}
    boot_frame = steps.made(frames.KIND_BOOT, 0, BOOT_BODY)
    steps.up("the echo: from here on the agent calls it live", steps.made(frames.KIND_TIME, 2_000_100, echo))
    steps.up("the boot frame, which waited since before the connection", boot_frame)
    steps.down("0 and 1 are on the agent's disk", frames.KIND_ACK, 120_000, [0, [[0, 2]]])
    steps.up("one second of readings", steps.made(frames.KIND_VITALS, 3_000_000, VITALS_BODY))
    steps.up("an ECG block", steps.made(frames.KIND_WAVE, 3_000_400, WAVE_BODY))
    steps.down("2 and 3, too", frames.KIND_ACK, 1_300_000, [0, [[2, 2]]])
    steps.down("a mark, which needs no authority", frames.KIND_COMMAND, 2_000_000, bodies.MARK)
    steps.up("done", steps.made(frames.KIND_ANSWER, 4_000_000, bodies.ANSWERS[0][1]))
    steps.down("the link is slow: no waveforms", frames.KIND_FLOW, 2_500_000, {frames.FLOW_WAVES: False})
    alarm = {**bodies.ALARM, frames.EVENT_EVIDENCE: [[2, 2]], frames.EVENT_BEGAN_US: 4_100_000}
    steps.up("an alarm is sent whatever the flow", steps.made(frames.KIND_EVENT, 5_000_000, alarm))
    steps.down("4 and 5 are on disk", frames.KIND_ACK, 3_200_000, [0, [[4, 2]]])
    steps.down("forget me", frames.KIND_UNPAIR, 3_400_000, {frames.UNPAIR_ID: bodies.UNPAIR_ID})
    answer = {frames.ANSWER_ID: bodies.UNPAIR_ID, frames.ANSWER_RESULT: frames.RESULT_DONE}
    steps.up(
        "done; the next boot's key is wrapped without this agent",
        steps.made(frames.KIND_ANSWER, 5_600_000, answer),
    )
    return steps.done
