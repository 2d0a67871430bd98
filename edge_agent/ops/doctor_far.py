"""The doctor's checks of far ends: the broker, its certificate, the collector's key, FHIR, folders.

What the agent would do is done once, with the same files: a connection, no batch. Bounded by time-outs.
"""

import contextlib
import json
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from cryptography import x509

from edge_agent import keys
from edge_agent.config import FhirConfig, MqttConfig
from edge_agent.forward import tls
from edge_agent.ops.doctor import Check, Found, Patient, bad, good, warn
from edge_agent.readable import counted
from edge_agent.store import database
from edge_agent.store.errors import StoreError
from protocol import receipts
from protocol.errors import ProtocolError

TIMEOUT_S = 5.0
# Long enough for whoever renews certificates by hand.
SOON_DAYS = 21
MAX_ANSWER = 1 << 20
FHIR_VERSION = "4."


def broker(patient: Patient) -> Found:
    """The broker: reached, its certificate good and for how long, and we may log in."""
    config = patient.config.mqtt
    if config is None:
        if patient.config.file is None and patient.config.fhir is None:
            yield warn(
                "no forwarder is configured: everything stays here", "docs/config.md: [mqtt], [file], [fhir]"
            )
        return
    if not patient.far:
        return
    context = None
    if config.tls:
        yield from _own_certificate(config.cert_file)
        try:
            context = tls.context(config.ca_file, config.cert_file, config.cert_key_file)
        except OSError as e:
            yield bad(str(e), "the remedy is in the text")
            return
    yield from _reached(config.host, config.port, context)
    yield from _logged_in(config, context)


def _reached(host: str, port: int, context: ssl.SSLContext | None) -> Iterator[tuple[str, str, str]]:
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as plain:
            if context is None:
                yield good(f"{where} is reached")
                return
            with context.wrap_socket(plain, server_hostname=host) as wrapped:
                certificate = wrapped.getpeercert(binary_form=True)
    except ssl.SSLError as e:
        yield bad(f"{where}: {tls.explain(str(e))}", "the remedy is in the text; what is stored waits")
        return
    except OSError as e:
        what = "no such name" if isinstance(e, socket.gaierror) else e.strerror or str(e)
        yield bad(
            f"{where} is not reached: {what}", "is the address right, the network up, the far end running?"
        )
        return
    if certificate:
        ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        yield _days(f"{where}: its certificate", ends, "its operator has to renew it")


def _own_certificate(path: Path | None) -> Iterator[tuple[str, str, str]]:
    ends = None if path is None else tls.expiry(path)
    if ends is not None:
        yield _days(f"cert_file {path}", ends, "renew it; it is read anew at each connection")


def _days(what: str, ends: datetime, remedy: str) -> tuple[str, str, str]:
    days = (ends - datetime.now(UTC)).days
    if days < 0:
        return bad(f"{what} has expired on {ends:%Y-%m-%d}", remedy)
    if days < SOON_DAYS:
        return warn(f"{what} expires in {counted(days, 'day')}", remedy)
    return good(f"{what} is valid for {counted(days, 'day')}")


def _logged_in(config: MqttConfig, context: ssl.SSLContext | None) -> Iterator[tuple[str, str, str]]:
    """Connect as the agent does, under another client id so as not to take its place."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"vitalwire-doctor-{os.getpid()}", protocol=paho.MQTTv5
    )
    answered, told = threading.Event(), list[Any]()

    def connected(client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        told.append(reason)
        answered.set()

    client.on_connect = connected
    if context is not None:
        client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]
    if config.username is not None:
        password = None
        if config.password_file is not None:
            try:
                password = config.password_file.read_text("utf-8").strip("\r\n")
            except (OSError, UnicodeDecodeError):
                return
        client.username_pw_set(config.username, password)
    try:
        client.connect(config.host, config.port, keepalive=10)
    except (OSError, ValueError):
        # It was said above that it is not reached.
        return
    client.loop_start()
    try:
        answered.wait(TIMEOUT_S)
        client.disconnect()
    finally:
        client.loop_stop()
    if not told:
        yield bad("the broker does not answer CONNECT", "is it an MQTT broker? see its log")
    elif "protocol version" in str(told[0]).lower():
        yield good("it speaks MQTT 3.1.1 only, which will do")
    elif told[0].is_failure:
        yield bad(f"the broker refuses us: {told[0]}", "see username and password_file, and the broker's log")
    else:
        yield good("the broker takes us")


def collector(patient: Patient) -> Found:
    """Whether the newest receipts are of the collector whose key is configured."""
    path = patient.config.collector
    if path is None or not patient.config.store.exists():
        return
    try:
        public = keys.load_public(path)
        with closing(database.open_reader(patient.config)) as db:
            row = db.execute(
                "SELECT receipt FROM receipts WHERE forwarder = 'mqtt' ORDER BY at_ms DESC LIMIT 1"
            ).fetchone()
    except (keys.KeyFileError, StoreError, database.Error):
        # Said by the checks of keys and of the store.
        return
    if row is None:
        yield warn(
            "no receipt of it is here yet", "is the agent's .pub with the collector? see `vitalwire status`"
        )
        return
    try:
        receipts.verify_receipt(bytes(row[0]), public.ed_pub, public.id)
    except ProtocolError as e:
        yield bad(
            f"the newest receipt is not by the key in {path}: {e}", "ask for the collector's present .pub"
        )
    else:
        yield good("the newest receipt is by its key")


def fhir(patient: Patient) -> Found:
    """The FHIR server: reached, R4, and our token taken."""
    config = patient.config.fhir
    if config is None:
        return
    folder = patient.config.operators
    found = sorted(folder.glob("*.pub")) if folder.is_dir() else []
    if not found:
        yield warn(
            f"no operator's .pub in {folder}: nobody can assign a node, so nothing goes",
            "vitalwire operator new NAME, or operator add NAME FILE.pub",
        )
    if not patient.far:
        return
    context = None
    if config.url.startswith("https:"):
        yield from _own_certificate(config.cert_file)
        try:
            context = tls.context(config.ca_file, config.cert_file, config.cert_key_file)
        except OSError as e:
            yield bad(str(e), "the remedy is in the text")
            return
    yield _fhir_answer(config, context)


def _fhir_answer(config: FhirConfig, context: ssl.SSLContext | None) -> tuple[str, str, str]:
    url = config.url.rstrip("/") + "/metadata"
    request = urllib.request.Request(url, headers={"Accept": "application/fhir+json"})
    if config.token_file is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            request.add_unredirected_header(
                "Authorization", "Bearer " + config.token_file.read_text("utf-8").strip()
            )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:
            document: Any = json.loads(answer.read(MAX_ANSWER))
    except urllib.error.HTTPError as e:
        with e:
            if e.code in (401, 403):
                return bad(f"{url}: {e.code}, our token is not taken", "put a new one in token_file")
            return bad(f"{url}: {e.code} {e.reason}", "is it the base address of a FHIR server?")
    except urllib.error.URLError as e:
        return bad(
            f"{url}: {tls.explain(str(e.reason))}",
            "is the address right, the network up, the server running?",
        )
    except (OSError, ValueError) as e:
        return bad(f"{url}: {e}", "is it the base address of a FHIR server?")
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    version = str(found.get("fhirVersion", "none"))
    if not version.startswith(FHIR_VERSION):
        return bad(f"{url}: FHIR version {version[:20]}, not R4", "give the address of its R4 endpoint")
    return good(f"{config.url} speaks FHIR {version[:20]}")


def carried(patient: Patient) -> Found:
    """The folders of the file forwarder."""
    config = patient.config.file
    if config is None:
        return
    for key, path, mode in (("out", config.out, os.W_OK), ("in", config.receipts, os.R_OK)):
        if path is None:
            continue
        if not path.is_dir():
            yield warn(f"[file] {key}: {path} is not there", "plug the stick in, or make the folder")
        elif not os.access(path, mode | os.X_OK):
            yield bad(
                f"[file] {key}: {path} is closed to this user", f"give its rights to the agent's user: {path}"
            )
        else:
            yield good(f"[file] {key}: {path}")


CHECKS: dict[str, Check] = {"broker": broker, "collector": collector, "fhir": fhir, "file": carried}
