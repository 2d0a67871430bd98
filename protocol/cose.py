"""COSE_Sign1 with Ed25519 (RFC 9052 §4.2, RFC 9053 §2.2), and reading what it wraps. CPython only."""

from typing import Any, Protocol

from protocol import cbor, crypto
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.errors import BatchError, CborError

VERSION = 1

_TAG = 18
_PROTECTED = cbor.dumps({1: -8})


class Signer(Protocol):
    """Whoever can sign: an Identity, or a SigningKey that was handed over to; 32 bytes each."""

    ed_seed: bytes
    ed_pub: bytes


def sign1(signer: Signer, payload: bytes) -> bytes:
    """The tagged COSE_Sign1 of `payload`, algorithm EdDSA, no external data."""
    signing = crypto.ed25519_sign_steps(signer.ed_seed, signer.ed_pub, _to_be_signed(payload))
    return cbor.head(6, _TAG) + cbor.dumps([_PROTECTED, {}, payload, crypto.run(signing)])


def verify1(message: bytes, ed_pub: bytes, what: str) -> bytes:
    """The payload that `ed_pub` signed; BatchError (bad_signature) otherwise. `what` names it in errors."""
    payload, signature = split1(message, what)
    if not crypto.run(crypto.ed25519_verify_steps(ed_pub, _to_be_signed(payload), signature)):
        raise BatchError(f"{what}: the signature is not of this key", cause="bad_signature")
    return payload


def split1(message: bytes, what: str) -> "tuple[bytes, bytes]":
    """(payload, signature) of a COSE_Sign1 with exactly the headers in use, not verified."""
    parts = loads(message, what, _TAG)
    if not is_list(parts) or len(parts) != 4 or not isinstance(parts[2], bytes) or not is_bytes(parts[3], 64):
        raise BatchError(f"{what}: not a COSE_Sign1")
    if parts[0] != _PROTECTED or parts[1] != {}:
        raise BatchError(f"{what}: COSE headers that are not those in use")
    return parts[2], parts[3]


def loads(encoded: bytes, what: str, tag: "int | None" = None) -> Any:
    """The CBOR item in `encoded`, or BatchError."""
    try:
        return cbor.loads(encoded, tag)
    except CborError as error:
        raise BatchError(f"{what}: not CBOR: {error.detail}", error.offset) from error


def versioned(encoded: bytes, what: str) -> "dict[Any, Any]":
    """The map in `encoded`, of this protocol version, or BatchError (unknown_version)."""
    fields = loads(encoded, what)
    if not is_map(fields) or not is_uint(fields.get(1)):
        raise BatchError(f"{what}: not a map with a version")
    if fields[1] != VERSION:
        raise BatchError(f"{what}: version {fields[1]}", cause="unknown_version", code=1)
    return fields


def _to_be_signed(payload: bytes) -> bytes:
    return cbor.dumps(["Signature1", _PROTECTED, b"", payload])
