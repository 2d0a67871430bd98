"""HPKE Auth, export-only: RFC 9180 A.7.3 on the pure code and on the backend."""

from protocol import crypto, hpke
from protocol.crypto import run
from protocol.errors import SealError

h = bytes.fromhex

INFO = h("4f6465206f6e2061204772656369616e2055726e")
RECIPIENT_SK = h("ed88cda0e91ca5da64b6ad7fc34a10f096fa92f0b9ceff9d2c55124304ed8b4a")
RECIPIENT_PK = h("ffd7ac24694cb17939d95feb7c4c6539bb31621deb9b96d715a64abdd9d14b10")
SENDER_SK = h("c85f136e06d72d28314f0e34b10aadc8d297e9d71d45a5662c2b7c3b9f9f9405")
SENDER_PK = h("89eb1feae431159a5250c5186f72a15962c8d0debd20a8389d8b6e4996e14306")
EPHEMERAL_SK = h("83d3f217071bbf600ba6f081f6e4005d27b97c8001f55cb5ff6ea3bbea1d9295")
ENC = h("5ac1671a55c5c3875a8afe74664aa8bc68830be9ded0c5f633cd96400e8b5c05")
EXPORTER_SECRET = h("276d87e5cb0655c7d3dad95e76e6fc02746739eb9d968955ccf8a6346c97509e")
EXPORTS = (
    (b"", h("83c1bac00a45ed4cb6bd8a6007d2ce4ec501f55e485c5642bd01bf6b6d7d6f0a")),
    (b"\x00", h("08a1d1ad2af3ef5bc40232a64f920650eb9b1034fac3892f729f7949621bf06e")),
    (b"TestContext", h("ff3b0e37a9954247fea53f251b799e2edd35aac7152c5795751a3da424feca73")),
)


def both():
    """(send, receive, export) of the pure code, and of the backend in use: the same on MicroPython."""
    return (
        (hpke.auth_send_steps, hpke.auth_receive_steps, hpke.export),
        (crypto.hpke_auth_send_steps, crypto.hpke_auth_receive_steps, crypto.hpke_export),
    )


def test_rfc9180_auth_export_only():
    for send, receive, export in both():
        enc, ctx = run(send(RECIPIENT_PK, INFO, SENDER_SK, SENDER_PK, EPHEMERAL_SK))
        assert enc == ENC
        received = run(receive(ENC, RECIPIENT_SK, RECIPIENT_PK, INFO, SENDER_PK))
        for context, expected in EXPORTS:
            assert export(ctx, context, 32) == expected
            assert export(received, context, 32) == expected


def test_pure_context_is_the_exporter_secret():
    assert run(hpke.auth_receive_steps(ENC, RECIPIENT_SK, RECIPIENT_PK, INFO, SENDER_PK)) == EXPORTER_SECRET


def test_info_sender_and_enc_are_bound():
    for _, receive, export in both():
        for enc, info, sender in (
            (ENC, INFO + b"x", SENDER_PK),
            (ENC, INFO, RECIPIENT_PK),
            (SENDER_PK, INFO, SENDER_PK),
        ):
            ctx = run(receive(enc, RECIPIENT_SK, RECIPIENT_PK, info, sender))
            assert export(ctx, b"", 32) != EXPORTS[0][1]


def test_bad_public_keys():
    for send, receive, _ in both():
        for bad in (bytes(32), b"\x01" + bytes(31), ENC[:31], b""):
            for steps in (
                send(bad, INFO, SENDER_SK, SENDER_PK, EPHEMERAL_SK),
                receive(bad, RECIPIENT_SK, RECIPIENT_PK, INFO, SENDER_PK),
                receive(ENC, RECIPIENT_SK, RECIPIENT_PK, INFO, bad),
            ):
                try:
                    run(steps)
                    raise AssertionError("a context with a public key of no use")
                except SealError as error:
                    assert error.cause == "bad_key"
