"""The doctor on far ends: a real broker with real certificates, a FHIR server, a foreign collector."""

import json
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edge_agent import keys
from edge_agent.keys import PublicKeys
from edge_agent.ops import doctor_far
from edge_agent.ops.doctor import BAD, GOOD, WARN, Patient
from edge_agent.store import database
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from protocol import receipts
from tests.edge_agent.fakes import identity
from tests.edge_agent.running import Kit, free_port
from tests.edge_agent.test_doctor import found, has, patient
from tests.services import authority, mosquitto

__all__ = ["authority", "mosquitto"]

COLLECTOR = identity(40)


@pytest.fixture
def kit(tmp_path):
    made = Kit(tmp_path)
    public = PublicKeys(*COLLECTOR.public())
    keys.write_public(tmp_path / "collector.pub", "collector", public)
    return made


def mqtt(kit: Kit, url: str, more: str = "") -> Patient:
    return patient(kit, f'[collector]\npublic = "collector.pub"\n[mqtt]\nurl = "{url}"\n{more}')


def tls(authority, client) -> str:
    certificate, key = client
    return f'ca_file = "{authority.ca_file}"\ncert_file = "{certificate}"\ncert_key_file = "{key}"\n'


def test_no_forwarder_at_all(kit):
    assert has(found(patient(kit), "broker"), WARN, "no forwarder")


def test_a_broker_in_clear(kit, mosquitto):
    broker = mosquitto()
    findings = found(mqtt(kit, broker.url), "broker")
    assert has(findings, GOOD, "is reached") and has(findings, GOOD, "takes us")
    broker.stop()
    assert has(found(mqtt(kit, broker.url), "broker"), BAD, "not reached")
    assert has(found(mqtt(kit, "mqtt://no.such.host.invalid"), "broker"), BAD, "no such name")
    offline = Patient(mqtt(kit, broker.url).config, far=False)
    assert list(doctor_far.broker(offline)) == []


def test_a_broker_that_refuses_our_password(kit, mosquitto):
    (kit.folder / "users").write_text("")
    broker = mosquitto(lines=("allow_anonymous false", f"password_file {kit.folder / 'users'}"))
    (kit.folder / "pw").write_text("hunter2\n")
    (kit.folder / "pw").chmod(0o600)
    findings = found(mqtt(kit, broker.url, 'username = "kit"\npassword_file = "pw"\n'), "broker")
    assert has(findings, BAD, "refuses us") and "hunter2" not in str(findings)


def test_a_broker_with_tls(kit, mosquitto, authority, monkeypatch):
    broker = mosquitto(authority=authority)
    ours = tls(authority, authority.client("kit-12"))
    findings = found(mqtt(kit, broker.url, ours), "broker")
    assert has(findings, GOOD, "takes us") and has(findings, GOOD, "is valid for")
    unknown = tls(authority, authority.client("kit-12")).splitlines()[1:]
    assert has(found(mqtt(kit, broker.url, "\n".join(unknown) + "\n"), "broker"), BAD, "unknown authority")
    monkeypatch.setattr(doctor_far, "TIMEOUT_S", 0.5)
    wrong_port = broker.url.replace("mqtts", "mqtt")
    assert has(found(mqtt(kit, wrong_port), "broker"), BAD, "CONNECT")


def test_certificates_and_their_days(kit, mosquitto, authority):
    broker = mosquitto(authority=authority)
    for days, state, words in ((5, WARN, "expires in"), (-1, BAD, "expired")):
        ends = datetime.now(UTC) + timedelta(days=days, hours=1)
        ours = tls(authority, authority.client("kit", not_after=ends))
        assert has(found(mqtt(kit, broker.url, ours), "broker"), state, words)


@pytest.fixture
def tls_server():
    """`tls_server(certificate, key)`: the port of a server that shows this certificate, and says no more."""
    ends: list[tuple[socket.socket, threading.Thread]] = []

    def start(certificate, key) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as wrapped:
                    wrapped.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ends.append((listener, thread))
        return listener.getsockname()[1]

    yield start
    for listener, thread in ends:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("names", "days", "state", "words"),
    [
        ((), 300, GOOD, "is valid for"),
        ((), 5, WARN, "expires in"),
        ((), -2, BAD, "has expired"),
        (("other.example",), 300, BAD, "for another name"),
    ],
)
def test_the_servers_certificate(authority, tls_server, names, days, state, words):
    ends = datetime.now(UTC) + timedelta(days=days, hours=1)
    port = tls_server(*authority.server(*names, not_after=ends))
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    told = list(doctor_far._reached("127.0.0.1", port, context))
    assert [one for one, *_ in told] == [state] and words in told[0][1]


def receipted(kit: Kit, by) -> None:
    store, _ = open_store(kit.folder / "agent.db", kit.identity.id, 1)
    store.close()
    receipt = receipts.make_receipt(by, kit.identity.id, bytes(8), 0, bytes(32), 1, 0, 5)
    path = kit.folder / "agent.db"
    with database.connect(path, unlock(path)) as db:
        db.execute("INSERT INTO receipts VALUES(1, 'mqtt', ?, 5)", (receipt,))
    db.close()


def test_the_collectors_key(kit):
    who = mqtt(kit, "mqtt://127.0.0.1")
    assert found(who, "collector") == []
    receipted(kit, COLLECTOR)
    assert has(found(who, "collector"), GOOD, "by its key")
    (kit.folder / "collector.pub").unlink()
    keys.write_public(kit.folder / "collector.pub", "collector", PublicKeys(*identity(41).public()))
    assert has(found(who, "collector"), BAD, "not by the key")


def test_no_receipt_yet(kit):
    store, _ = open_store(kit.folder / "agent.db", kit.identity.id, 1)
    store.close()
    assert has(found(mqtt(kit, "mqtt://127.0.0.1"), "collector"), WARN, "no receipt")


class Fhir(BaseHTTPRequestHandler):
    """Answers /metadata as it is told by `answer`: (code, document)."""

    answer = (200, {"fhirVersion": "4.0.1"})
    tokens: list[str | None] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Authorization"))
        code, document = self.answer
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fhir_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fhir)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/r4"
    server.shutdown()
    thread.join()
    server.server_close()


def fhir(kit: Kit, url: str) -> Patient:
    (kit.folder / "token").write_text("s3cret\n")
    (kit.folder / "token").chmod(0o600)
    return patient(kit, f'[people]\nconsent = "required"\n[fhir]\nurl = "{url}"\ntoken_file = "token"\n')


def test_fhir(kit, fhir_url, monkeypatch):
    findings = found(fhir(kit, fhir_url), "fhir")
    assert has(findings, WARN, "nobody can assign") and has(findings, GOOD, "speaks FHIR 4.0.1")
    assert Fhir.tokens[-1] == "Bearer s3cret" and "s3cret" not in str(findings)
    (kit.folder / "operators").mkdir()
    (kit.folder / "operators" / "o.pub").write_bytes((kit.folder / "agent.pub").read_bytes())
    assert not has(found(fhir(kit, fhir_url), "fhir"), WARN, "nobody can assign")
    for answer, words in (
        ((401, {}), "token is not taken"),
        ((404, {}), "404"),
        ((200, {"fhirVersion": "3.0.2"}), "not R4"),
        ((200, []), "not R4"),
    ):
        monkeypatch.setattr(Fhir, "answer", answer)
        assert has(found(fhir(kit, fhir_url), "fhir"), BAD, words)
    assert has(found(fhir(kit, f"http://127.0.0.1:{free_port()}"), "fhir"), BAD, "refused")


def test_folders_that_are_carried(kit):
    text = f'[file]\nout = "{kit.folder}/out"\nin = "{kit.folder}/in"\npublic = "collector.pub"\n'
    assert [state for state, _ in found(patient(kit, text), "file")] == [WARN, WARN]
    (kit.folder / "out").mkdir()
    (kit.folder / "in").mkdir()
    assert [state for state, _ in found(patient(kit, text), "file")] == [GOOD, GOOD]
