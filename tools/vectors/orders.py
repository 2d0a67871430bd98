"""Orders with an authority's signature, and what becomes of them at a node."""

import hashlib
from typing import Any

from protocol import crypto, frames, orders
from tools.vectors import bodies
from tools.vectors.bodies import EXPIRES_US, without
from tools.vectors.keys import AGENT, AUTHORITY, BOOT_ID, MAKER, NODE, OLD_BOOT_ID, tagged


def _signed(kind: int, body: "dict[int, Any]") -> "dict[int, Any]":
    return crypto.run(orders.sign_steps(AUTHORITY, NODE.id, BOOT_ID, kind, dict(body)))


def order_vectors() -> Any:
    """The content of orders.json."""
    measure = _signed(frames.KIND_COMMAND, bodies.MEASURE)
    watch = _signed(frames.KIND_CONFIG, bodies.WATCH)
    mark = bodies.MARK
    mains = {
        **bodies.MAINS,
        frames.ORDER_WHAT: {frames.SET_MAINS_HZ: 50, frames.SET_NOT_SENT: [frames.CH_PPG_RED]},
    }
    signature, authority = frames.ORDER_SIGNATURE, frames.ORDER_AUTHORITY
    expires = frames.ORDER_EXPIRES_US
    forged = bytes((measure[signature][0] ^ 1,)) + measure[signature][1:]
    command, config = frames.KIND_COMMAND, frames.KIND_CONFIG
    done, refused, malformed = frames.RESULT_DONE, frames.RESULT_UNAUTHORISED, frames.RESULT_MALFORMED
    cases: list[tuple[str, int, dict[int, Any], int, bytes, int]] = [
        ("signed by an authority", command, measure, 1, BOOT_ID, done),
        ("alarm limits, signed", config, watch, 1, BOOT_ID, done),
        ("at the last moment", command, measure, EXPIRES_US, BOOT_ID, done),
        ("a moment later", command, measure, EXPIRES_US + 1, BOOT_ID, frames.RESULT_EXPIRED),
        ("another boot's", command, measure, 1, OLD_BOOT_ID, refused),
        ("a changed signature", command, {**measure, signature: forged}, 1, BOOT_ID, refused),
        ("changed arguments", command, {**measure, frames.ORDER_ARGS: {1: 3}}, 1, BOOT_ID, refused),
        ("a changed expiry", command, {**measure, expires: EXPIRES_US + 100_000_000}, 1, BOOT_ID, refused),
        (
            "a command's signature under a config",
            config,
            {**watch, signature: measure[signature]},
            1,
            BOOT_ID,
            refused,
        ),
        ("the cuff, not signed", command, without(measure, authority, signature), 1, BOOT_ID, refused),
        ("no signature", command, without(measure, signature), 1, BOOT_ID, refused),
        ("no authority", command, without(measure, authority), 1, BOOT_ID, refused),
        ("an agent's name on it", command, {**measure, authority: AGENT.id}, 1, BOOT_ID, refused),
        ("a mark needs none", command, mark, 1, BOOT_ID, done),
        ("mains need none", config, mains, 1, BOOT_ID, done),
        ("the cuff's size, not signed", config, bodies.MAINS, 1, BOOT_ID, refused),
        ("a short id", command, {**mark, frames.ORDER_ID: bytes(7)}, 1, BOOT_ID, malformed),
        ("no expiry", command, without(mark, expires), 1, BOOT_ID, malformed),
        (
            "settings for an operation",
            command,
            {**mark, frames.ORDER_WHAT: {frames.SET_MAINS_HZ: 50}},
            1,
            BOOT_ID,
            malformed,
        ),
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
