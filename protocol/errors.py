"""What can go wrong between bytes and frames. One base class; the class says which condition.

Everything here except `LocalError` means that *the peer* (or the wire) erred: count it by `cause` and go on.
`LocalError` means that *we* erred: a caller asked for something that must never be sent.
"""


class ProtocolError(Exception):
    """Base of every error of this package.

    `code` is the refusal code for the wire (0: none), `cause` a short snake_case name to count by, `layer`
    where it was found, `detail` a sentence for a person, `offset` the byte offset in the input of that
    layer, or None; `path` the map keys that lead to the value, where only they are known.
    """

    code = 0
    cause = "protocol_error"
    layer = "protocol"

    def __init__(
        self,
        detail: str,
        offset: "int | None" = None,
        cause: "str | None" = None,
        code: "int | None" = None,
        path: "tuple[int, ...] | None" = None,
    ):
        super().__init__(detail)
        self.detail = detail
        self.offset = offset
        self.path = path
        if cause is not None:
            self.cause = cause
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        if self.offset is None:
            return f"{self.layer}: {self.detail}"
        return f"{self.layer}: {self.detail} at offset {self.offset}"


class CborError(ProtocolError):
    """Bytes that are not deterministically encoded CBOR of the subset in use (RFC 8949 §4.2.1)."""

    code = 6
    cause = "malformed_cbor"
    layer = "cbor"


class CobsError(ProtocolError):
    """Bytes between two delimiters that are not COBS."""

    code = 6
    cause = "malformed_cobs"
    layer = "cobs"


class FrameError(ProtocolError):
    """A plaintext whose CBOR is sound but which is not a frame, or lacks what its kind requires."""

    code = 6
    cause = "malformed_frame"
    layer = "frame"


class CodecError(ProtocolError):
    """Waveform data that no encoder makes."""

    code = 6
    cause = "malformed_waveform"
    layer = "waveform"


class SealError(ProtocolError):
    """A seal that does not open: wrong key, changed bytes, wrong header, or a replayed counter (`cause`)."""

    code = 4
    cause = "bad_tag"
    layer = "seal"


class HelloError(ProtocolError):
    """A clear message (hello, welcome, pairing, …) that cannot be accepted; `code` is the refusal."""

    code = 6
    cause = "malformed_message"
    layer = "message"


class BatchError(ProtocolError):
    """A batch, receipt or question that is refused; `cause` says which check failed.

    malformed_batch, unknown_version, bad_seal (not encrypted to this key, or changed), bad_signature,
    wrong_agent, bad_count, bad_holes (not one hash for each entry left out), bad_root, bad_identity (an
    identity entry whose keys do not give its node id), bad_handover, retired_key (handover.py).
    """

    code = 6
    cause = "malformed_batch"
    layer = "batch"


class LocalError(ProtocolError):
    """We erred: a value that this protocol cannot carry was handed in."""

    cause = "local_error"
    layer = "local"
