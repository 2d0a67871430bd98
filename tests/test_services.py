"""The servers that other tests stand on."""

import ssl
import threading
from datetime import UTC, datetime

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.services import Authority, Mosquitto
from tools.demo.broker import LOOPBACK, answers
from tools.services.server import lives

PATIENCE_S = 30


def _tls_client(broker: Mosquitto, own: tuple | None, trusts: Authority) -> mqtt.Client:
    context = ssl.create_default_context(cafile=str(trusts.ca_file))
    if own is not None:
        context.load_cert_chain(*own)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set_context(context)
    return client


def _lets_in(client: mqtt.Client, broker: Mosquitto) -> bool:
    """Whether handshake and CONNECT succeed: TLS 1.3 tells a client of its certificate only afterwards."""
    answered, found = threading.Event(), []
    client.on_connect = lambda _c, _d, _f, reason, _p: (found.append(not reason.is_failure), answered.set())
    client.on_disconnect = lambda *_: answered.set()
    try:
        client.connect(LOOPBACK, broker.port)
        client.loop_start()
        assert answered.wait(PATIENCE_S)
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        client.disconnect()
        client.loop_stop()
    return found == [True]


def test_a_broker_that_is_killed_comes_back_on_its_port(mosquitto):
    broker = mosquitto(persistence=True)
    assert answers(broker.port, PATIENCE_S)
    broker.kill()
    assert not broker.running
    broker.start()
    assert answers(broker.port, PATIENCE_S)


def test_a_broker_with_tls_wants_a_certificate_of_its_authority(mosquitto, authority, tmp_path):
    broker = mosquitto(authority=authority)
    past = datetime(2001, 1, 1, tzinfo=UTC)
    stranger = Authority(tmp_path / "stranger")
    assert _lets_in(_tls_client(broker, authority.client("clinic"), authority), broker)
    assert not _lets_in(_tls_client(broker, None, authority), broker)
    assert not _lets_in(_tls_client(broker, stranger.client("clinic"), authority), broker)
    assert not _lets_in(_tls_client(broker, authority.client("clinic", not_after=past), authority), broker)


def test_each_test_has_a_database_of_its_own_that_outlives_the_server(postgres, postgres_server):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres) as db:
        assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        db.execute("CREATE TABLE kept (n INTEGER)")
        backend = db.info.backend_pid
    postgres_server.kill()
    assert not lives(backend), "it would keep the next one from starting"
    postgres_server.start()
    with psycopg.connect(postgres) as db:
        assert db.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_role_with_a_password_needs_it(postgres, postgres_server, monkeypatch):
    psycopg = pytest.importorskip("psycopg")
    url = postgres.replace("vitalwire@", "locked@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url)
    monkeypatch.setenv("PGPASSWORD", postgres_server.password)
    psycopg.connect(url).close()
