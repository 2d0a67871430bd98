"""The table of keys: what several together may not say, what is worth a warning, show, check and example."""

import json
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent import config
from edge_agent.cli.config import config_group, example
from edge_agent.config import ConfigError
from edge_agent.config.table import TABLES

C = '[collector]\npublic = "c.pub"\n'
PEOPLE = "[people]\n"


def parsed(text: str):
    return config.parse(text, Path("/etc/vitalwire/agent.toml"))


def failed(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value


def test_everything_of_the_new_tables():
    found = parsed(
        """
        [tcp]
        listen = "[::1]:7117"
        max_connections = 2
        per_node_frames_s = 3
        idle_s = 4
        hello_s = 0.5
        [store]
        passphrase_file = "words"
        quota_mib = 100
        retention_days = 30
        wave_days = 7
        min_free_mib = 8
        [collector]
        public = "c.pub"
        [mqtt]
        url = "mqtts://broker.example"
        cert_file = "a.pem"
        cert_key_file = "a.key"
        required = false
        max_packet_kib = 64
        [file]
        out = "out"
        in = "in"
        required = true
        public = "h.pub"
        [fhir]
        url = "https://fhir.example/r4"
        token_file = "token"
        organization = "urn:oid:2.999"
        strips = false
        [people]
        operators = "who"
        consent = "assumed"
        [remote]
        authorities = "/srv/authorities"
        [ops]
        metrics = "127.0.0.1:9117"
        log = "json"
        """
    )
    folder = Path("/etc/vitalwire")
    assert found.tcp is not None and (found.tcp.host, found.tcp.port, found.tcp.hello_s) == ("::1", 7117, 0.5)
    assert found.links == (), "with [tcp] no serial port is looked for unasked"
    assert found.storage.passphrase_file == folder / "words" and found.storage.wave_days == 7
    assert found.mqtt is not None and found.mqtt.max_packet_bytes == 65536 and not found.mqtt.required
    assert found.mqtt.cert_key_file == folder / "a.key"
    assert found.file is not None and found.file.receipts == folder / "in" and found.file.required
    assert found.fhir is not None and found.fhir.token_file == folder / "token" and not found.fhir.strips
    assert found.operators == folder / "who" and found.people.consent == "assumed"
    assert found.authorities == Path("/srv/authorities")
    assert found.ops.metrics == ("127.0.0.1", 9117) and found.ops.log == "json"


def test_folders_that_are_not_named_lie_in_the_state_directory():
    found = parsed('[agent]\nstate_dir = "/srv/v"\n')
    assert found.operators == Path("/srv/v/operators") and found.authorities == Path("/srv/v/authorities")
    assert found.tcp is None and found.file is None and found.fhir is None and found.ops.metrics is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[tcp]\nmax_connections = 5\n", 1, "[tcp] without listen"),
        ('[tcp]\nlisten = "7117"\n', 2, "host:port"),
        ('[tcp]\nlisten = "::1:7117"\n', 2, "host:port"),
        ('[tcp]\nlisten = "127.0.0.1:70000"\n', 2, "host:port"),
        ('[store]\nkey_file = "a"\ncredential = "b"\n', 3, "one key"),
        ('[store]\ncredential = "../b"\n', 2, "credential"),
        ("[store]\nretention_days = 3\nwave_days = 4\n", 3, "wave_days 4"),
        ("[mqtt]\nrequired = true\n", 1, "[mqtt] without url"),
        (C + '[mqtt]\nurl = "mqtt://x"\nca_file = "ca"\n', 5, "mqtts://"),
        (C + '[mqtt]\nurl = "mqtts://x"\ncert_key_file = "k"\n', 5, "without cert_file"),
        (C + '[mqtt]\nurl = "mqtt://x"\npassword_file = "p"\n', 5, "without username"),
        (C + '[mqtt]\nurl = "mqtt://x"\nrequired = "yes"\n', 5, "true or false"),
        ('[file]\nin = "i"\n', 1, "[file] without out"),
        (C + '[file]\nout = "o"\nrequired = true\n', 5, "without in"),
        (C + '[file]\nout = "o"\nin = "o"\n', 5, "one folder"),
        ('[file]\nout = "o"\n', 1, "public"),
        ('[fhir]\nurl = "https://f/r4"\n', 1, "[people]"),
        (PEOPLE + '[fhir]\nurl = "https://t:s3cret@f"\n', 3, "token_file"),
        (PEOPLE + '[fhir]\nurl = "ftp://f"\n', 3, "https://"),
        (PEOPLE + '[fhir]\nurl = "http://127.0.0.1/r4"\ncert_file = "c"\n', 4, "https://"),
        ('[people]\nconsent = "maybe"\n', 2, '"required", "assumed"'),
        ('[ops]\nmetrics = "0.0.0.0:9117"\n', 2, "loopback"),
        ('[ops]\nmetrics = "example.org:9117"\n', 2, "loopback"),
        ('[ops]\nlog = "xml"\n', 2, '"json"'),
    ],
)
def test_mistakes_have_a_line(text, line, said):
    e = failed(text)
    assert e.line == line and said in str(e)
    assert "s3cret" not in str(e)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tcp]\nlisten = "192.0.2.1:7117"\n', "firewall"),
        ('[tcp]\nlisten = "kit.example:7117"\n', "firewall"),
        (C + '[mqtt]\nurl = "mqtt://x"\nusername = "u"\npassword_file = "p"\n', "in the clear"),
        (PEOPLE + '[fhir]\nurl = "http://x/r4"\n', "use https://"),
        ("[store]\nquota_mib = 5\n", "no forwarder is required"),
        (C + '[mqtt]\nurl = "mqtts://x"\nrequired = false\n[store]\nwave_days = 5\n', "no forwarder"),
        ('[people]\nconsent = "assumed"\n', "without a record of consent"),
    ],
)
def test_what_is_risky_is_a_warning(text, words):
    (warning,) = parsed(text).warnings
    assert words in warning and re.search(r"agent\.toml, line \d", warning)


@pytest.mark.parametrize(
    "text",
    [
        '[tcp]\nlisten = "127.0.0.1:7117"\n',
        '[tcp]\nlisten = "localhost:7117"\n',
        C + '[mqtt]\nurl = "mqtt://127.0.0.1"\nusername = "u"\npassword_file = "p"\n',
        C + '[mqtt]\nurl = "mqtts://x"\n[store]\nquota_mib = 5\n',
    ],
)
def test_what_is_not_risky_is_none(text):
    assert parsed(text).warnings == ()


def test_a_file_that_is_no_configuration_is_not_read_whole(tmp_path):
    path = tmp_path / "agent.toml"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigError, match="larger than"):
        config.load(path)


def test_each_default_passes_its_own_check():
    for table in TABLES.values():
        for key in table.keys:
            value = key.example if key.default is None else key.default
            assert value is not None, key.name
            assert key.check.wrong(value) is None, key.name


def test_the_example_is_valid_as_it_is_and_table_by_table():
    text = example()
    assert tomllib.loads(text) == {}
    for name, table in TABLES.items():
        start = re.search(rf"^#\[+{name}\]+$", text, re.MULTILINE)
        assert start is not None
        block = text[start.start() :].split("\n\n")[0]
        opened = re.sub(r"^#(?!#)", "", block, flags=re.MULTILINE)
        assert len(tomllib.loads(opened)[name]) in (1, len(table.keys))
        if name == "store":
            opened = re.sub(r"^(credential|passphrase_file).*$", "", opened, flags=re.MULTILINE)
        extra = "" if name in ("collector", "people") else C + PEOPLE
        assert parsed(opened + "\n" + extra)


def run(*words: str):
    return CliRunner().invoke(click.Group("vitalwire", commands=[config_group]), ["config", *words])


def test_check_says_what_is_wrong_and_what_is_risky(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text('[people]\nconsent = "assumed"\n')
    fine = run("check", "--config", str(path))
    assert fine.exit_code == 0 and fine.output.startswith("! ") and "can be used" in fine.output
    path.write_text("[store]\nquota = 5\n")
    wrong = run("check", "--config", str(path))
    assert wrong.exit_code == 1 and "line 2" in wrong.output and "'quota_mib'" in wrong.output


def test_show_says_what_holds_and_what_is_a_default(tmp_path):
    path, secret = tmp_path / "agent.toml", tmp_path / "pw"
    secret.write_text("hunter2")
    path.write_text(
        C + '[mqtt]\nurl = "mqtts://x"\nusername = "u"\npassword_file = "pw"\n[store]\ncommit_ms = 9\n'
        '[[links]]\nport = "/dev/a\\u001b"\n'
    )
    text = run("show", "--config", str(path)).output
    assert "commit_ms = 9\n" in text and "quota_mib = 0  # default" in text and "# [tcp]: none" in text
    assert f'password_file = "{secret}"' in text and "hunter2" not in text and "\x1b" not in text
    assert tomllib.loads(text)["mqtt"]["url"] == "mqtts://x"
    document = json.loads(run("show", "--config", str(path), "--json").output)
    assert document["tcp"] is None and document["store"]["commit_ms"] == 9 and "hunter2" not in str(document)
    assert document["store"].keys() == {key.name for key in TABLES["store"].keys}
    again = tmp_path / "again.toml"
    again.write_text(text)
    assert config.load(again) == config.load(path)
