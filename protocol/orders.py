"""Orders to a node (command and config): what their authority signs, and whether one may be carried out.

docs/wire-protocol.md §8.2. A node loads this. The authorities that it believes were given to it at its kit;
whatever needs none stands on the seal of a paired agent.
"""

from protocol import cbor, crypto, on_demand
from protocol import frames as f
from protocol.checks import is_bytes, is_map, is_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from protocol.identity import Identity


def order_message(node_id: bytes, boot_id: bytes, kind: int, body: "Mapping[int, Any]") -> bytes:
    """What an authority signs of an order to this boot of a node; `body` holds its id (key 5) already."""
    return cbor.dumps(
        [
            "vitalwire/1 order",
            node_id,
            boot_id,
            kind,
            body[f.ORDER_ID],
            body[f.ORDER_WHAT],
            body.get(f.ORDER_ARGS),
            body[f.ORDER_EXPIRES_US],
            body[f.ORDER_MS],
            body[f.ORDER_AUTHORITY],
        ]
    )


def order_digest(node_id: bytes, boot_id: bytes, kind: int, body: "Mapping[int, Any]") -> "bytes | None":
    """What an answer to this well-formed order names it by (8 bytes); None for one that nobody signed."""
    if f.ORDER_AUTHORITY not in body or f.ORDER_SIGNATURE not in body:
        return None
    return crypto.sha256(order_message(node_id, boot_id, kind, body))[:8]


def sign_steps(
    authority: "Identity", node_id: bytes, boot_id: bytes, kind: int, body: "dict[int, Any]"
) -> "Generator[None, None, dict[int, Any]]":
    """`body` with the authority's id and signature put in."""
    body[f.ORDER_AUTHORITY] = authority.id
    message = order_message(node_id, boot_id, kind, body)
    body[f.ORDER_SIGNATURE] = yield from crypto.ed25519_sign_steps(
        authority.ed_seed, authority.ed_pub, message
    )
    return body


def needs_authority(kind: int, body: "Mapping[int, Any]") -> bool:
    """Whether the order moves the cuff, says which cuff it is (a wrong size is a wrong pressure), or changes
    alarms. The mains frequency is told by the signal, and what is not sent is measured all the same.
    """
    what = body[f.ORDER_WHAT]
    if kind == f.KIND_COMMAND:
        return what in (f.OP_MEASURE_BP, f.OP_CUFF_LEAK, f.OP_CUFF_STATIC, f.OP_ACKNOWLEDGE)
    return kind == f.KIND_CONFIG and (f.SET_MODE in what or f.SET_LIMITS in what or f.SET_CUFF_SIZE in what)


def check_steps(
    node_id: bytes,
    boot_id: bytes,
    kind: int,
    body: "Mapping[int, Any]",
    now_us: int,
    authorities: "Mapping[bytes, bytes]",
) -> "Generator[None, None, int]":
    """RESULT_DONE when the order may be carried out, else why not (slow work where it is signed).

    `now_us`: the boot's clock; `authorities`: id → Ed25519 public key. Whether the operation or the settings
    are known and sound is for whoever carries them out.
    """
    if not _is_order(kind, body):
        return f.RESULT_MALFORMED
    if now_us > body[f.ORDER_EXPIRES_US]:
        return f.RESULT_EXPIRED
    signed = f.ORDER_AUTHORITY in body or f.ORDER_SIGNATURE in body
    if not signed:
        return f.RESULT_UNAUTHORISED if needs_authority(kind, body) else f.RESULT_DONE
    key = authorities.get(body.get(f.ORDER_AUTHORITY, b""))
    if key is None or f.ORDER_SIGNATURE not in body:
        return f.RESULT_UNAUTHORISED
    message = order_message(node_id, boot_id, kind, body)
    try:
        good = yield from crypto.ed25519_verify_steps(key, message, body[f.ORDER_SIGNATURE])
    finally:
        # What is ordered needs the heap, too.
        on_demand.forget(on_demand.SIGNING)
    return f.RESULT_DONE if good else f.RESULT_UNAUTHORISED


def _is_order(kind: int, body: "Mapping[int, Any]") -> bool:
    what = body.get(f.ORDER_WHAT)
    if not (is_uint(what) if kind == f.KIND_COMMAND else is_map(what)):
        return False
    if not is_bytes(body.get(f.ORDER_ID), 8) or not is_uint(body.get(f.ORDER_MS)):
        return False
    if not is_uint(body.get(f.ORDER_EXPIRES_US)):
        return False
    for key, size in ((f.ORDER_AUTHORITY, 8), (f.ORDER_SIGNATURE, 64)):
        if key in body and not is_bytes(body[key], size):
            return False
    return is_map(body.get(f.ORDER_ARGS, {})) and isinstance(body.get(f.ORDER_REASON, ""), str)
