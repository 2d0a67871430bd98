"""The fixed keys of the vectors, and how their JSON holds bytes and maps.

JSON has neither bytes nor integer keys: {"h": "00ff"} is a byte string, {"m": [[key, value], ...]} a map.
"""

from hashlib import sha256
from typing import Any

from protocol import crypto, identity, seal


def secret(label: str, size: int = 32) -> bytes:
    """Bytes that stand for random ones in the vectors."""
    return sha256(b"vitalwire vectors: " + label.encode()).digest()[:size]


def tagged(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if isinstance(value, (bytes, bytearray)):
        return {"h": value.hex()}
    if isinstance(value, dict):
        return {"m": [[tagged(key), tagged(value[key])] for key in value]}
    if isinstance(value, (list, tuple)):
        return [tagged(item) for item in value]
    return value


def untagged(value: Any) -> Any:
    """What `tagged` was given, with arrays as lists."""
    if isinstance(value, dict):
        if "h" in value:
            return bytes.fromhex(value["h"])
        return {untagged(key): untagged(item) for key, item in value["m"]}
    if isinstance(value, list):
        return [untagged(item) for item in value]
    return value


def party(label: str) -> identity.Identity:
    """An identity whose seeds follow from its label."""
    return crypto.run(identity.from_seed_steps(secret(label + " ed25519"), secret(label + " x25519")))


class _Committed:
    """Stands for a boot record whose counter is on flash."""

    def __init__(self, boot_id: bytes):
        self.boot_id = boot_id


def sealing(K: bytes, boot_id: bytes) -> seal.SealingKeys:
    """A node's keys of a boot that has sealed nothing yet."""
    return seal.SealingKeys(K, _Committed(boot_id))


UP_LABELS = (("up key", 16), ("up iv", 13), ("hello", 32))
DOWN_LABELS = (("down key", 16), ("down iv", 13))


def derived(key: bytes, salt: bytes, labels: "tuple[tuple[str, int], ...]") -> dict[str, str]:
    """What HKDF makes of `key` under each (label, size), in hex."""
    return {name: crypto.hkdf(key, salt, f"vitalwire/1 {name}".encode(), size).hex() for name, size in labels}


def party_secrets(who: identity.Identity) -> dict[str, str]:
    """All of an identity, the secret halves too: it is nobody's."""
    return {
        "id": who.id.hex(),
        "ed_seed": who.ed_seed.hex(),
        "ed_pub": who.ed_pub.hex(),
        "x_sk": who.x_sk.hex(),
        "x_pub": who.x_pub.hex(),
        "fingerprint": who.fingerprint.hex(),
    }


NODE = party("node")
AGENT = party("agent")
COLLECTOR = party("collector")
AUTHORITY = party("authority")
MAKER = party("maker")
BOOT_ID = (7).to_bytes(4, "big") + secret("boot", 8)
OLD_BOOT_ID = (6).to_bytes(4, "big") + secret("old boot", 8)
KEYS = seal.BootKeys(secret("content key", 16), BOOT_ID)
HELLO_NONCE = secret("hello nonce", 16)
