"""Orders with an authority's signature, and what becomes of them at a node."""

import hashlib
from typing import Any

from protocol import crypto, frames, orders
from tools.vectors import bodies
from tools.vectors.keys import AGENT, AUTHORITY, BOOT_ID, MAKER, NODE, OLD_BOOT_ID, tagged


def _signed(kind: int, body: "dict[int, Any]") -> "dict[int, Any]":
    return crypto.run(orders.sign_steps(AUTHORITY, NODE.id, BOOT_ID, kind, dict(body)))


def order_vectors() -> Any:
    """The content of orders.json."""
    measure = _signed(frames.KIND_COMMAND, bodies.MEASURE)
    watch = _signed(frames.KIND_CONFIG, bodies.WATCH)
    mark, mains = bodies.MARK, bodies.MAINS
    signature, authority = frames.ORDER_SIGNATURE, frames.ORDER_AUTHORITY
    forged = bytes((measure[signature][0] ^ 1,)) + measure[signature][1:]
    cases: list[tuple[str, int, dict[int, Any], int, bytes, int]] = [
        ("signed by an authority", 34, measure, 1, BOOT_ID, frames.RESULT_DONE),
        ("alarm limits, signed", 35, watch, 1, BOOT_ID, frames.RESULT_DONE),
        ("at the last moment", 34, measure, 700_000_000, BOOT_ID, frames.RESULT_DONE),
        ("a moment later", 34, measure, 700_000_001, BOOT_ID, frames.RESULT_EXPIRED),
        ("another boot's", 34, measure, 1, OLD_BOOT_ID, frames.RESULT_UNAUTHORISED),
        ("a changed signature", 34, {**measure, signature: forged}, 1, BOOT_ID, frames.RESULT_UNAUTHORISED),
        ("changed arguments", 34, {**measure, 3: {1: 3}}, 1, BOOT_ID, frames.RESULT_UNAUTHORISED),
        ("a changed expiry", 34, {**measure, 4: 800_000_000}, 1, BOOT_ID, frames.RESULT_UNAUTHORISED),
        (
            "a command's signature under a config",
            35,
            {**watch, signature: measure[signature]},
            1,
            BOOT_ID,
            frames.RESULT_UNAUTHORISED,
        ),
        (
            "the cuff, not signed",
            34,
            bodies.without(measure, authority, signature),
            1,
            BOOT_ID,
            frames.RESULT_UNAUTHORISED,
        ),
        ("no signature", 34, bodies.without(measure, signature), 1, BOOT_ID, frames.RESULT_UNAUTHORISED),
        ("no authority", 34, bodies.without(measure, authority), 1, BOOT_ID, frames.RESULT_UNAUTHORISED),
        (
            "an agent's name on it",
            34,
            {**measure, authority: AGENT.id},
            1,
            BOOT_ID,
            frames.RESULT_UNAUTHORISED,
        ),
        ("a mark needs none", 34, mark, 1, BOOT_ID, frames.RESULT_DONE),
        ("mains need none", 35, mains, 1, BOOT_ID, frames.RESULT_DONE),
        ("a short id", 34, {**mark, frames.ORDER_ID: bytes(7)}, 1, BOOT_ID, frames.RESULT_MALFORMED),
        ("no expiry", 34, bodies.without(mark, frames.ORDER_EXPIRES_US), 1, BOOT_ID, frames.RESULT_MALFORMED),
        ("settings for an operation", 34, {**mark, 2: {1: 50}}, 1, BOOT_ID, frames.RESULT_MALFORMED),
    ]
    return {
        "manifest": {
            "name": "of an update, signed by the maker",
            "rule": "signed-manifest",
            "ed_pub": MAKER.ed_pub.hex(),
            "signed": bodies.MANIFEST.hex(),
        },
        "node": NODE.id.hex(),
        "authority": {
            "id": AUTHORITY.id.hex(),
            "ed_seed": AUTHORITY.ed_seed.hex(),
            "ed_pub": AUTHORITY.ed_pub.hex(),
        },
        "signed": [
            {
                "name": name,
                "rule": "order-signed",
                "boot_id": BOOT_ID.hex(),
                "kind": kind,
                "body": tagged(body),
                "signed": orders.order_message(NODE.id, BOOT_ID, kind, body).hex(),
                "signature": body[signature].hex(),
                "digest": hashlib.sha256(orders.order_message(NODE.id, BOOT_ID, kind, body))
                .digest()[:8]
                .hex(),
                "frame_rule": rule,
                "plaintext": frames.pack(kind, 12, body).hex(),
            }
            for name, kind, body, rule in (
                ("command, measure blood pressure", frames.KIND_COMMAND, measure, "command-frame"),
                ("config, watch with alarm limits", frames.KIND_CONFIG, watch, "config-frame"),
            )
        ],
        "checks": [
            {
                "name": name,
                "kind": kind,
                "body": tagged(body),
                "now_us": now_us,
                "boot_id": boot_id.hex(),
                "result": result,
            }
            for name, kind, body, now_us, boot_id, result in cases
        ],
    }
