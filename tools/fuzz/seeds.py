"""Sound inputs to begin from: the vectors, and what this code itself makes with the fuzzing parties' keys."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from protocol import batch, cbor, cobs, cose, crypto, frames, identity, messages, receipts
from protocol import orders as signing
from tools.fuzz import sessions
from tools.fuzz.parties import Boot, Random, party, secret
from tools.fuzz.programs import assemble

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"

NODE = party("node")
AGENT = party("agent")
COLLECTOR = party("collector")
PERSON = party("person")
AUTHORITY = party("authority")


def vectors(name: str) -> Any:
    """The content of a file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def _bytes(rows: Any, key: str) -> "list[bytes]":
    return [bytes.fromhex(row[key]) for row in rows]


@cache
def boots() -> "tuple[Boot, Boot]":
    """The boots of the session targets."""
    return Boot(NODE, AGENT, 7), Boot(NODE, AGENT, 6)


@cache
def plaintexts() -> "tuple[bytes, ...]":
    """Every frame of the vectors, also the malformed ones, and the orders that an authority signed."""
    held = vectors("frames")
    return (
        *_bytes(held["frames"], "plaintext"),
        *_bytes(held["malformed"], "plaintext"),
        *_bytes(vectors("orders")["signed"], "plaintext"),
    )


def for_frames() -> "list[bytes]":
    """Every frame of the vectors, the good ones three times as often."""
    return [*plaintexts(), *_bytes(vectors("frames")["frames"], "plaintext") * 2]


@cache
def clear() -> "tuple[bytes, ...]":
    """Every clear message of the vectors, and those of the fuzzing parties."""
    held = vectors("messages")
    first, _ = boots()
    body = hello_bodies()[0]
    return (
        *_bytes(held["clear"], "message"),
        *_bytes(held["malformed"], "message"),
        messages.hello(body, first.tag(body)),
        messages.welcome(1, AGENT.id, bytes(32), bytes(16)),
        messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, Random(3)(16)),
        pair_reply(),
    )


@cache
def hello_bodies() -> "tuple[bytes, ...]":
    """Hello bodies: one boot, two boots, none paired, many ranges."""
    first, second = boots()
    ranges = [[4 * i, 1] for i in range(16)]
    listed = (
        [[first.boot_id, [first.header], 70, [[0, 3], [5, 65]]]],
        [[first.boot_id, [first.header], 70, ranges], [second.boot_id, [second.header], 9, []]],
        [[first.boot_id, [], 1, []]],
    )
    keys = (None, None, NODE.public())
    return tuple(
        messages.hello_body(1, NODE.id, Random(conn)(16), conn, boots, held)
        for conn, (boots, held) in enumerate(zip(listed, keys, strict=True), 1)
    )


def pair_reply() -> bytes:
    """The node's genuine reply to the pair request of a session target."""
    nonce = Random(3)(16)
    signed = identity.pair_message(*AGENT.public(), *NODE.public(), nonce)
    signature = crypto.run(crypto.ed25519_sign_steps(NODE.ed_seed, NODE.ed_pub, signed))
    return messages.pair_reply(1, *NODE.public(), nonce, signature)


def wire_messages() -> "list[bytes]":
    """Messages of all three sorts."""
    first, second = boots()
    up = [
        messages.data(i % 2, (first, second)[i % 2].seal(number, plaintext))
        for i, (number, plaintext) in enumerate(
            zip((0, 1, 255, 256, 65536, 1 << 24, (1 << 32) - 1), plaintexts(), strict=False)
        )
    ]
    return [*clear(), *up, *_bytes(vectors("sealed")["down"]["messages"], "sealed")]


def for_cbor() -> "list[bytes]":
    """Items of the vectors, good and bad, and what the protocol makes of them."""
    held = vectors("cbor")
    return [
        *_bytes(held["items"], "encoded"),
        *_bytes(held["malformed"], "encoded"),
        *plaintexts(),
        *clear(),
        *batches(),
    ]


def for_cobs() -> "list[bytes]":
    """Streams of several messages, with and without boot text."""
    held = vectors("cobs")
    encoded = [one if one.endswith(b"\0") else one + b"\0" for one in _bytes(held["messages"], "encoded")]
    stream = b"".join(cobs.encode(message) for message in wire_messages())
    return [
        *(bytes((i,)) + one for i, one in enumerate(encoded)),
        b"\x02" + b"".join(encoded),
        b"\x04rst:0x1 (POWERON_RESET)\r\n\0" + stream[:700],
        b"\x06" + stream[-700:],
        b"\x05" + b"\x40" + b"x" * 63 + b"\0" + stream[:200],
    ]


def for_cose() -> "list[bytes]":
    """Sealed frames of every length of number, downlink messages, boot headers."""
    first, _ = boots()
    sealed = [
        first.seal(number, plaintext)
        for number in (0, 255, 256, 65536, (1 << 32) - 1)
        for plaintext in (b"", *plaintexts()[:5])
    ]
    _, enc, wrapped = first.header
    down = _bytes(vectors("sealed")["down"]["messages"], "sealed")
    return [*(b"\0" + one for one in sealed), *(b"\x02" + one for one in down), b"\x03" + enc + wrapped]


def for_waveform() -> "list[bytes]":
    """Blocks of the vectors, good and bad."""
    held = vectors("waveform")
    good = [(len(row["samples"]), bytes.fromhex(row["block"])) for row in held["blocks"]]
    bad = [(row["n"], bytes.fromhex(row["block"])) for row in held["malformed"]]
    return [n.to_bytes(2, "big") + block for n, block in good + bad if 0 <= n < 65536]


def batches() -> "list[bytes]":
    """The examples of batch.json."""
    return _bytes(vectors("batch")["examples"], "bytes")


def entries() -> "list[bytes]":
    """The entries of batch.json."""
    return [bytes.fromhex(one) for one in vectors("batch")["entries"]]


def for_batch() -> "list[bytes]":
    """Batches sealed to the fuzzing collector, in clear, as fields to be signed; heads; entries."""
    leaves = entries()
    cited = (secret("old chain", 8), 41, secret("old head"))
    first = batch.make_head(
        AGENT.id, bytes(8), 0, batch.FIRST_PREVIOUS, leaves, 1_700_000_001_000, cited, "why"
    )
    second = batch.make_head(AGENT.id, bytes(8), 1, batch.head_hash(first), leaves[:3], 1_700_000_003_000)
    clear = batch.encode_batch(batch.sign_head(AGENT, first), leaves)
    sealed = batch.seal_batch(clear, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id, secret("ephemeral"))
    parts = [[cbor.loads(head), [cbor.loads(one) for one in leaves]] for head in (first, second)]
    return [
        b"\0" + sealed,
        b"\1" + clear,
        b"\2" + clear,
        *(b"\3" + cbor.dumps(one) for one in parts),
        *(b"\4" + head for head in (first, second)),
        *(b"\5" + one for one in leaves),
    ]


def for_receipt() -> "list[bytes]":
    """Receipts, head statements, questions, refusals, by the fuzzing collector."""
    newest = (bytes(8), 0, bytes(32))
    nonce = Random(4)(16)
    made = [
        receipts.make_receipt(COLLECTOR, AGENT.id, bytes(8), 0, bytes(32), 9, 1, 1_700_000_002_000),
        receipts.make_head_statement(
            COLLECTOR, AGENT.id, newest, 9, 1, 1_700_000_002_000, nonce, [newest] * 3
        ),
        receipts.make_head_statement(COLLECTOR, AGENT.id, None, 0, 0, 1_700_000_002_000, nonce),
    ]
    return [
        *(b"\0" + one for one in made),
        *(b"\1" + cbor.loads(one, 18)[2] for one in made),
        b"\2" + receipts.make_ask(AGENT.id, nonce),
        b"\3" + receipts.make_refusal(AGENT.id, "bad_root", "an example", b"x"),
    ]


def for_records() -> "list[bytes]":
    """Assignments and manual entries: what is signed, and signed."""
    common = {7: PERSON.id, 8: 1_700_000_000_000, 9: bytes(8), 10: bytes(8)}
    fields = [
        {
            1: 1,
            2: "assignment",
            3: NODE.id,
            4: bytes(16),
            5: 1_700_000_000_000,
            6: 1_700_000_000_001,
            **common,
        },
        {
            1: 1,
            2: "manual",
            3: bytes(16),
            4: [[1, 653], [2, 974]],
            5: 1_700_000_000_000,
            **common,
            11: "d",
            12: "n",
        },
    ]
    payloads = [cbor.dumps(one) for one in fields]
    return [*(b"\1" + one for one in payloads), *(b"\0" + cose.sign1(PERSON, one) for one in payloads)]


def for_inspect() -> "list[bytes]":
    """A whole connection, and one of everything else."""
    stream = b"\0" + b"".join(cobs.encode(message) for message in wire_messages())
    loose = [*plaintexts(), *clear(), *batches(), *entries()]
    return [b"\0" + one for one in [stream[:2500], *loose]] + [
        bytes((i % 256,)) + one for i, one in enumerate(loose)
    ]


def for_orders() -> "list[bytes]":
    """The frames of the downlink, and orders that the fuzzing authority signed."""
    first, _ = boots()
    common = {
        frames.ORDER_ID: bytes(8),
        frames.ORDER_EXPIRES_US: 9_000_000,
        frames.ORDER_MS: 1_700_000_000_000,
    }
    limits = {frames.SET_MODE: 1, frames.SET_LIMITS: [[33, 1800, 5]], frames.SET_MAINS_HZ: 50}
    signed: list[bytes] = []
    for kind, what in ((frames.KIND_COMMAND, frames.OP_MEASURE_BP), (frames.KIND_CONFIG, limits)):
        body = {**common, frames.ORDER_WHAT: what, frames.ORDER_ARGS: {1: 5}, frames.ORDER_REASON: "asked"}
        crypto.run(signing.sign_steps(AUTHORITY, NODE.id, first.boot_id, kind, body))
        signed.append(frames.pack(kind, 5, body))
    return [*orders(), *signed * 4]


def orders() -> "list[bytes]":
    """The frames of the downlink."""
    kinds = range(32, 39)
    found: list[bytes] = []
    for plaintext in plaintexts():
        try:
            kind = frames.unpack(plaintext)[0]
        except frames.FrameError:
            continue
        if kind in kinds:
            found.append(plaintext)
    return found


def for_agent() -> "tuple[list[bytes], dict[int, list[bytes]]]":
    """Programs for the agent's session, and what their steps may hold."""
    s = sessions
    frame = [bytes((i % 2,)) + i.to_bytes(4, "big") + one for i, one in enumerate(plaintexts())]
    greeted = [(s.GREET, b""), (s.ASK, b"\4"), (s.ASK, b"\1"), (s.ASK, b"\4")]
    live = [*greeted, (s.FRAME, frame[0]), (s.ECHO, b"\0\0\0\1")]
    programs = [
        greeted,
        live,
        [*live, *((s.FRAME, one) for one in frame[:8]), (s.ASK, b"\2"), (s.TIME, b"\1\0"), (s.ASK, b"\4")],
        [*live, *live],
        [*((s.HELLO, body) for body in hello_bodies()), (s.TIME, b"\x10\0"), (s.ASK, b"\0")],
        [(s.ASK, b"\3"), (s.PAIR_REPLY, b""), (s.ASK, b"\3"), (s.MESSAGE, pair_reply())],
        [(s.ASK, b"\0"), *((s.MESSAGE, message) for message in wire_messages()[:12])],
        [(s.RAW, b"rst:0x1\r\n\0" + cobs.encode(clear()[0]))],
    ]
    contents = {
        s.RAW: [cobs.encode(message) for message in wire_messages()],
        s.MESSAGE: wire_messages(),
        s.TIME: [b"\0\x64", b"\x07\xd0", b"\xff\xff"],
        s.HELLO: list(hello_bodies()),
        s.FRAME: frame,
        s.ASK: [bytes((i,)) for i in range(5)],
        s.ECHO: [b"\0\0\0\2", b"\xff\xff\xff\xff"],
        s.PAIR_REPLY: [b""],
        s.GREET: [b""],
    }
    return [assemble(program) for program in programs], contents


def for_node() -> "tuple[list[bytes], dict[int, list[bytes]]]":
    """Programs for the node's session, and what their steps may hold."""
    s = sessions
    down = orders()
    streaming = [(s.MAKE, b"\1"), (s.WELCOME, b""), (s.TURN, b""), (s.SEALED, down[0]), (s.TURN, b"")]
    request = messages.pair_request(1, AGENT.ed_pub, AGENT.x_pub, Random(3)(16))
    programs = [
        [(s.WELCOME, b""), (s.TURN, b"")],
        streaming,
        [*streaming, *((s.SEALED, one) for one in down), (s.TIME, b"\x10\0"), (s.TURN, b"")],
        [*streaming, *((s.MAKE, bytes((i % 3,))) for i in range(12)), (s.TURN, b""), (s.SEALED, down[0])],
        [*streaming, (s.TIME, b"\x80\0"), (s.TURN, b""), (s.MESSAGE, messages.solicit(1)), *streaming],
        [(s.UNPAIRED, b""), (s.MESSAGE, request), (s.ACCEPT, b""), (s.TURN, b"")],
        [(s.MESSAGE, request), (s.ACCEPT, b""), *streaming],
        [(s.WELCOME, b""), *((s.SEALED, one) for one in down[:3]), (s.TURN, b"")],
        [*((s.MESSAGE, message) for message in wire_messages()[:12])],
    ]
    acks = [
        frames.pack(frames.KIND_ACK, 9, [boot, [[2 * i, 1] for i in range(many)]])
        for boot, many in ((0, 1), (1, 2), (0, 12), (0, 200))
    ]
    contents = {
        s.RAW: [cobs.encode(message) for message in wire_messages()],
        s.MESSAGE: [*wire_messages(), messages.solicit(1), request],
        s.TIME: [b"\0\x64", b"\x07\xd0", b"\x7f\xff", b"\xff\xff"],
        s.WELCOME: [b""],
        s.SEALED: [*down, *acks, *plaintexts()],
        s.NUMBERED: [i.to_bytes(4, "big") + one for i, one in enumerate([*down, *acks])],
        s.TURN: [b""],
        s.MAKE: [b"\0", b"\1", b"\2"],
        s.ACCEPT: [b""],
        s.UNPAIRED: [b""],
    }
    return [assemble(program) for program in programs], contents
