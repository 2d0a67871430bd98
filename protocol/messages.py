"""Clear messages: hello, welcome, pairing, refusal, solicit; and which of the three sorts a message is.

Source: docs/wire-protocol.md §3 and §4. Parsing checks the type and length of every field and gives fields
by name. Keys that are not known are ignored; a message of a version that is not spoken here, and a hello
without a common one, is a HelloError with cause "unknown_version", before anything else is looked at; of a
type that is not known, one with cause "unknown_message".
"""

from protocol import cbor
from protocol.checks import is_bytes, is_bytes_list, is_list, is_map, is_ranges, is_uint
from protocol.errors import CborError, HelloError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
VERSIONS = (1,)
"""The protocol versions that are spoken here, ascending."""

MSG_HELLO = 1
MSG_WELCOME = 2
MSG_PAIR_REQUEST = 3
MSG_PAIR_REPLY = 4
MSG_REFUSAL = 5
MSG_SOLICIT = 6

MSG_NAMES = {
    MSG_HELLO: "hello",
    MSG_WELCOME: "welcome",
    MSG_PAIR_REQUEST: "pair request",
    MSG_PAIR_REPLY: "pair reply",
    MSG_REFUSAL: "refusal",
    MSG_SOLICIT: "solicit",
}

REFUSE_VERSION = 1
REFUSE_UNKNOWN = 2
REFUSE_REPLAYED = 3
REFUSE_BAD_TAG = 4
REFUSE_PAIRED = 5
REFUSE_MALFORMED = 6
REFUSE_NO_RECORDS = 7
REFUSE_CONSENT = 8
REFUSE_CONTESTED = 9

REFUSE_NAMES = {
    REFUSE_VERSION: "unknown version",
    REFUSE_UNKNOWN: "unknown node (not paired with this agent)",
    REFUSE_REPLAYED: "replayed hello",
    REFUSE_BAD_TAG: "bad tag or header",
    REFUSE_PAIRED: "already paired",
    REFUSE_MALFORMED: "malformed",
    REFUSE_NO_RECORDS: "its flash keeps no records: full or worn",
    REFUSE_CONSENT: "nobody holds its button",
    REFUSE_CONTESTED: "another agent asks at the same time",
}

MAX_BOOTS = 16
MAX_HEADERS = 8
MAX_RANGES = 16
MAX_VERSIONS = 8
MAX_DOWN_ITEMS = 32
"""Of a clear message that a node takes; the longest that there is has 17."""

SORT_CLEAR = 1
SORT_DATA = 2
SORT_DOWNLINK = 3

_U32_END = 1 << 32


def sort(message: bytes) -> int:
    """SORT_CLEAR, SORT_DATA or SORT_DOWNLINK, by the first byte; 0: none of them."""
    first = message[0] if message else 0
    if first == 0x82:
        return SORT_DATA
    if first == 0x83:
        return SORT_DOWNLINK
    return SORT_CLEAR if first >> 5 == 5 else 0


def data(boot_index: int, sealed: bytes) -> bytes:
    """The message that carries a sealed frame of the boot at `boot_index` in the newest hello's list."""
    return b"\x82" + cbor.head(0, boot_index) + sealed


def split_data(message: bytes) -> "tuple[int, bytes]":
    """(boot index, sealed frame) of a data message, or HelloError. The seal itself is not looked at."""
    if len(message) > 1 and message[0] == 0x82 and message[1] < MAX_BOOTS:
        return message[1], message[2:]
    if sort(message) != SORT_DATA:
        raise HelloError("not a data message", 0)
    try:
        major, boot_index, at = cbor.read_head(message, 1)
    except CborError as e:
        raise HelloError(e.detail, e.offset) from None
    if major != 0 or boot_index >= MAX_BOOTS:
        raise HelloError(f"the boot index is not an integer below {MAX_BOOTS}", 1)
    return boot_index, message[at:]


def hello_body(
    version: int,
    node_id: bytes,
    nonce: bytes,
    conn: int,
    boots: "Any",
    keys: "Any" = None,
    versions: "Any" = None,
) -> bytes:
    """The encoded hello body, which the tag covers.

    `boots`: newest first, `[boot id, headers, next, held ranges]` each; `keys`: (ed25519 public, x25519
    public) of a node that has no paired agent; `versions`: all that the node speaks, ascending, `version` the
    first of them; left out, it is the only one.
    """
    body: "dict[int, Any]" = {1: version, 2: node_id, 3: nonce, 4: conn, 5: boots}
    if keys is not None:
        body[6] = keys
    if versions is not None:
        body[7] = versions
    return cbor.dumps(body)


def hello(body: bytes, tag: bytes) -> bytes:
    """A hello around an encoded body and its 16-byte tag."""
    return cbor.dumps({0: MSG_HELLO, 1: body, 2: tag})


def welcome(version: int, agent_id: bytes, enc: bytes, nonce: bytes) -> bytes:
    """A welcome to the hello with `nonce`; `enc` is the HPKE encapsulated key of the downlink."""
    return cbor.dumps({0: MSG_WELCOME, 1: version, 2: agent_id, 3: enc, 4: nonce})


def pair_request(
    version: int, ed_pub: bytes, x_pub: bytes, nonce: bytes, authority: "Any" = None, button: bool = False
) -> bytes:
    """An agent's wish to pair: its public keys and 16 fresh bytes for the node to sign. `authority`: whose
    orders the node is to believe from now on, too (two public keys); empty: nobody's any more. `button`: only
    with the node's button, whatever link this comes over."""
    fields: "dict[int, Any]" = {0: MSG_PAIR_REQUEST, 1: version, 2: ed_pub, 3: x_pub, 4: nonce}
    if authority is not None:
        fields[5] = authority
    if button:
        fields[6] = True
    return cbor.dumps(fields)


def pair_reply(version: int, ed_pub: bytes, x_pub: bytes, nonce: bytes, signature: bytes) -> bytes:
    """A node's consent: its public keys, the request's nonce, and the signature over both parties' keys."""
    return cbor.dumps({0: MSG_PAIR_REPLY, 1: version, 2: ed_pub, 3: x_pub, 4: nonce, 5: signature})


def refusal(version: int, code: int, versions: "Any" = None) -> bytes:
    """A hint to the other side why it gets no answer (REFUSE_…); `versions`: which it may speak."""
    fields: "dict[int, Any]" = {0: MSG_REFUSAL, 1: version, 2: code}
    if versions is not None:
        fields[3] = versions
    return cbor.dumps(fields)


def solicit(version: int) -> bytes:
    """An agent's wish for a hello on a new connection."""
    return cbor.dumps({0: MSG_SOLICIT, 1: version})


# type: (key, name, length in bytes; 0 = an unsigned integer)
_FIELDS: "dict[int, tuple[tuple[int, str, int], ...]]" = {
    MSG_WELCOME: ((1, "version", 0), (2, "agent_id", 8), (3, "enc", 32), (4, "nonce", 16)),
    MSG_PAIR_REQUEST: ((1, "version", 0), (2, "ed_pub", 32), (3, "x_pub", 32), (4, "nonce", 16)),
    MSG_PAIR_REPLY: (
        (1, "version", 0),
        (2, "ed_pub", 32),
        (3, "x_pub", 32),
        (4, "nonce", 16),
        (5, "signature", 64),
    ),
    MSG_REFUSAL: ((1, "version", 0), (2, "code", 0)),
    MSG_SOLICIT: ((1, "version", 0),),
}

_HELLO_BODY = ((1, "version", 0), (2, "node_id", 8), (3, "nonce", 16), (4, "conn", 0))


def parse_clear(message: bytes) -> "tuple[int, dict[str, Any]]":
    """(MSG_…, fields by name) of a clear message; HelloError says which field is wrong, and where it is.

    hello: body (the bytes under the tag), tag, and those of `parse_hello_body`. welcome: version, agent_id,
    enc, nonce. pair request: version, ed_pub, x_pub, nonce, authority (a list or None), button. pair reply:
    the first four and signature. refusal: version, code, versions (a list or None). solicit: version.
    """
    from protocol import places

    try:
        kind, fields = _clear(message)
        return kind, _hello_of(message, fields) if kind == MSG_HELLO else _fields_of(kind, fields)
    except HelloError as e:
        if e.path is not None:
            e.offset = places.place(message, 0, e.path)
        raise


def _hello_of(message: bytes, fields: "dict[Any, Any]") -> "dict[str, Any]":
    from protocol import places

    body = fields.get(1)
    if not isinstance(body, bytes):
        raise HelloError("hello: key 1 (body) is not a byte string", path=(1,))
    try:
        named = parse_hello_body(body)
    except HelloError as e:
        if e.path is not None:
            e.path = (1,) + e.path
        elif e.offset is not None:
            e.offset += cbor.read_head(message, places.place(message, 0, (1,)))[2]
        raise
    _check_keys("hello", fields)
    if not is_bytes(fields.get(2), 16):
        raise HelloError("hello: key 2 (tag) is not 16 bytes", path=(2,))
    named["body"] = body
    named["tag"] = fields[2]
    return named


def parse_down(message: bytes) -> "tuple[int, dict[str, Any]]":
    """`parse_clear` for a node, which takes no hello. The type, which comes first, is looked at before the
    rest is decoded, and that in bounds: anybody may say such messages."""
    kind = -1
    try:
        major, _, at = cbor.read_head(message, 0)
        if major == 5 and message[at : at + 1] == b"\0":
            major, kind, _ = cbor.read_head(message, at + 1)
            if major != 0:
                kind = -1
    except CborError:
        # Where it is wrong the decoder tells.
        pass
    if kind == MSG_HELLO:
        raise HelloError("a node takes no hello", 0)
    if kind >= 0 and kind not in MSG_NAMES:
        raise _unknown_message(kind)
    fields = _map(message, MAX_DOWN_ITEMS)
    if kind < 0:
        raise HelloError("key 0 is not the type of a clear message", path=(0,))
    return kind, _fields_of(kind, fields)


def _clear(message: bytes) -> "tuple[int, dict[Any, Any]]":
    fields = _map(message)
    kind = fields.get(0)
    if not is_uint(kind):
        raise HelloError("key 0 is not the type of a clear message", path=(0,))
    if kind not in MSG_NAMES:
        raise _unknown_message(kind)
    return kind, fields


def _unknown_message(kind: int) -> HelloError:
    return HelloError("clear message of type %d" % kind, None, "unknown_message", path=(0,))


def _fields_of(kind: int, fields: "dict[Any, Any]") -> "dict[str, Any]":
    """A refusal may be of any version: what it says then is which ones the peer speaks."""
    what = MSG_NAMES[kind]
    version = fields.get(1)
    if is_uint(version) and version not in VERSIONS and kind != MSG_REFUSAL:
        raise _unknown_version(what, version)
    named = _named(what, fields, _FIELDS[kind])
    if kind == MSG_PAIR_REQUEST:
        named["authority"] = fields.get(5)
        if 5 in fields and fields[5] != [] and not is_bytes_list(fields[5], (32, 32)):
            raise HelloError("pair request: key 5 (authority) is not two public keys", path=(5,))
        named["button"] = 6 in fields
        if 6 in fields and fields[6] is not True:
            raise HelloError("pair request: key 6 (with the button) is not true", path=(6,))
    if kind == MSG_REFUSAL:
        named["versions"] = fields.get(3)
        if 3 in fields and not _are_versions(fields[3]):
            raise HelloError("refusal: key 3 (versions) is not a list of versions, ascending", path=(3,))
    return named


def parse_hello_body(body: bytes) -> "dict[str, Any]":
    """The fields of an encoded hello body: version, versions, node_id, nonce, conn, boots and keys.

    boots: `[boot id, [[agent id, enc, wrapped], …], next, [[first, count], …]]`, newest first; keys:
    (ed25519 public, x25519 public) or None; versions: all that the node speaks, one of them common.
    """
    fields = _map(body)
    versions = fields.get(7, [fields.get(1)])
    if not _are_versions(versions) or versions[0] != fields.get(1):
        raise HelloError(
            "hello body: keys 1 and 7 (versions) are not the versions spoken, ascending", path=(7,)
        )
    common_version(versions)
    named = _named("hello body", fields, _HELLO_BODY)
    named["versions"] = versions
    if not 1 <= named["conn"] < _U32_END:
        raise HelloError("hello body: key 4 (conn) is not from 1 to 2^32 - 1", path=(4,))
    boots = fields.get(5)
    if not is_list(boots) or not 1 <= len(boots) <= MAX_BOOTS:
        raise HelloError(f"hello body: key 5 (boots) is not a list of 1 to {MAX_BOOTS}", path=(5,))
    newer = None
    for boot in boots:
        boot_id = _check_boot(boot)
        if newer is not None and boot_id[:4] >= newer[:4]:
            raise HelloError("hello body: the boots are not newest first", path=(5,))
        newer = boot_id
    named["boots"] = boots
    named["keys"] = None
    if 6 in fields:
        if not is_bytes_list(fields[6], (32, 32)):
            raise HelloError("hello body: key 6 (keys) is not two public keys", path=(6,))
        named["keys"] = tuple(fields[6])
    return named


def common_version(versions: "list[int]") -> int:
    """The greatest version that both sides speak; HelloError (unknown_version) when there is none."""
    common = [version for version in versions if version in VERSIONS]
    if not common:
        raise _unknown_version("hello body", versions)
    return max(common)


def _unknown_version(what: str, said: "Any") -> HelloError:
    return HelloError(f"{what}: protocol version {said}", None, "unknown_version", REFUSE_VERSION, (1,))


def _are_versions(value: "Any") -> bool:
    if not is_list(value) or not 1 <= len(value) <= MAX_VERSIONS:
        return False
    before = 0
    for version in value:
        if not is_uint(version) or not before < version < 256:
            return False
        before = version
    return True


def _check_boot(boot: "Any") -> bytes:
    if not is_list(boot) or len(boot) != 4:
        raise HelloError("hello body: a boot is not [boot id, headers, next, held ranges]", path=(5,))
    boot_id, headers, next_seq, ranges = boot
    if not is_bytes(boot_id, 12):
        raise HelloError("hello body: a boot id is not 12 bytes", path=(5,))
    if not is_list(headers) or len(headers) > MAX_HEADERS:
        raise HelloError(
            f"hello body: the headers of a boot are not a list of at most {MAX_HEADERS}", path=(5,)
        )
    if not all(is_bytes_list(header, (8, 32, 32)) for header in headers):
        raise HelloError("hello body: a header is not [agent id, enc, wrapped key]", path=(5,))
    if not is_uint(next_seq) or next_seq > _U32_END:
        raise HelloError("hello body: a next sequence number is not within 32 bits", path=(5,))
    if not is_ranges(ranges, 2) or len(ranges) > MAX_RANGES:
        raise HelloError(
            f"hello body: the held ranges are not at most {MAX_RANGES} ascending [first, count]", path=(5,)
        )
    if ranges and ranges[-1][0] + ranges[-1][1] > next_seq:
        raise HelloError("hello body: a held range goes beyond the next sequence number", path=(5,))
    return boot_id


def _map(encoded: bytes, most: "int | None" = None) -> "dict[Any, Any]":
    try:
        fields = cbor.loads(encoded, None, most)
    except CborError as e:
        raise HelloError(f"not CBOR: {e.detail}", e.offset) from None
    if not is_map(fields):
        raise HelloError("not a map", 0)
    return fields


def _check_keys(what: str, fields: "dict[Any, Any]") -> None:
    for key in fields:
        if not is_uint(key):
            raise HelloError(f"{what}: a key is not an unsigned integer", 0)


def _named(
    what: str, fields: "dict[Any, Any]", wanted: "tuple[tuple[int, str, int], ...]"
) -> "dict[str, Any]":
    _check_keys(what, fields)
    named: "dict[str, Any]" = {}
    for key, name, length in wanted:
        value = fields.get(key)
        if length == 0:
            if not is_uint(value):
                raise HelloError(f"{what}: key {key} ({name}) is not an unsigned integer", path=(key,))
        elif not is_bytes(value, length):
            raise HelloError(f"{what}: key {key} ({name}) is not {length} bytes", path=(key,))
        named[name] = value
    return named
