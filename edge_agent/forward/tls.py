"""TLS for forwarders: contexts made anew from their files, and failures said with what to do about them.

A certificate that was renewed is taken at the next connection, without a restart; one that is missing,
damaged or expired is named. Nothing here ends a forwarder: it tries again.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from edge_agent.files import ExposedError, check_secret

AGAIN = "it is read anew at each connection"


class _Socket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        # paho and others leave a socket open whose handshake failed.
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class CertificateError(OSError):
    """A file that TLS needs cannot be used; its text names the file and what to do."""


def context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """A client's context from these files, as they are now. CertificateError."""
    try:
        made = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as e:
        raise CertificateError(_unusable("ca_file", ca_file, e)) from e
    made.sslsocket_class = _Socket
    if cert_file is None:
        return made
    expires = expiry(cert_file)
    if expires is not None and expires <= datetime.now(UTC):
        raise CertificateError(
            f"cert_file {cert_file} expired on {expires:%Y-%m-%d %H:%M} UTC: renew it; {AGAIN}"
        )
    try:
        check_secret(key_file or cert_file)
        made.load_cert_chain(str(cert_file), None if key_file is None else str(key_file))
    except ExposedError as e:
        raise CertificateError(f"{e}; {AGAIN}") from e
    except (OSError, ValueError) as e:
        missing = next((one for one in (cert_file, key_file) if one is not None and not one.is_file()), None)
        if missing is None and "KEY_VALUES_MISMATCH" in str(e):
            raise CertificateError(
                f"cert_key_file {key_file} is not the key of cert_file {cert_file}: put the two together"
                f" that belong together; {AGAIN}"
            ) from e
        raise CertificateError(_unusable("cert_file or cert_key_file", missing or cert_file, e)) from e
    return made


def expiry(cert_file: Path) -> datetime | None:
    """When a certificate ends to be valid; None when it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(cert_file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def _unusable(key: str, path: Path | None, error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{key} {path} cannot be used ({why}): put a PEM file there; {AGAIN}"


# What OpenSSL's words mean, and who has to do what. The first that is found in them counts.
_WORDS = (
    ("hostname mismatch", "the server's certificate is for another name: use the name that it holds in url"),
    (
        "ip address mismatch",
        "the server's certificate is for another name: use the name that it holds in url",
    ),
    ("certificate has expired", "the server's certificate has expired: its operator has to renew it"),
    ("not yet valid", "the server's certificate is not valid yet: is this machine's clock right?"),
    (
        "unable to get local issuer",
        "an unknown authority signed the server's certificate: ca_file must hold it",
    ),
    ("self-signed certificate", "an unknown authority signed the server's certificate: ca_file must hold it"),
    ("alert certificate required", "the server wants a client certificate: set cert_file and cert_key_file"),
    ("alert unknown ca", "the server does not know who signed our certificate: get one that it trusts"),
    ("alert certificate expired", "the server holds our certificate for expired: renew cert_file"),
    ("alert certificate revoked", "the server says that our certificate is revoked: get a new one"),
    ("alert bad certificate", "the server does not take our certificate: get one that it trusts"),
    ("alert certificate unknown", "the server does not take our certificate: get one that it trusts"),
    ("wrong_version_number", "the server does not speak TLS on this port: is the address right?"),
    ("wrong version number", "the server does not speak TLS on this port: is the address right?"),
)


def explain(text: str) -> str:
    """A failure in OpenSSL's words, with what it means in front; as it is when that is not known."""
    low = text.lower().replace("_", " ")
    found = next((meaning for words, meaning in _WORDS if words.replace("_", " ") in low), None)
    return text if found is None else f"{found} ({text})"
