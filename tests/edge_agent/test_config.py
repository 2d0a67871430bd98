"""Configuration: defaults that work, and mistakes that are told with their line."""

from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.config import ConfigError, LinkConfig


def parsed(text: str, path: str = "/etc/vitalwire/agent.toml"):
    return config.parse(text, Path(path))


def failed(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value


def test_no_file_at_all_is_a_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "VITALWIRE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    found = config.load()
    assert found.state_dir == tmp_path / ".local/share/vitalwire"
    assert found.links == (LinkConfig("auto"),) and found.mqtt is None
    assert found.store.name == "agent.db" and found.commit_ms <= 50 and found.batch_s <= 2


def test_an_empty_file_means_the_same_as_none(monkeypatch, tmp_path):
    monkeypatch.delenv("VITALWIRE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    path = tmp_path / "agent.toml"
    path.write_text("")
    assert config.load(path) == config.load(None)


def test_everything_that_can_be_said():
    found = parsed(
        """
        [agent]
        state_dir = "state"
        key = "keys/agent.key"
        [[links]]
        port = "/dev/ttyUSB0"
        [[links]]
        port = "socket://127.0.0.1:7777"
        baud = 9600
        [store]
        commit_ms = 20
        [custody]
        batch_seconds = 0.5
        batch_kib = 64
        [collector]
        public = "collector.pub"
        [mqtt]
        url = "mqtts://broker.example"
        username = "kit"
        password_file = "password"
        receipt_timeout_s = 3
        """
    )
    assert found.state_dir == Path("/etc/vitalwire/state")
    assert found.key == Path("/etc/vitalwire/keys/agent.key")
    assert found.links == (LinkConfig("/dev/ttyUSB0"), LinkConfig("socket://127.0.0.1:7777", 9600))
    assert (found.commit_ms, found.batch_s, found.batch_bytes) == (20, 0.5, 65536)
    assert found.collector == Path("/etc/vitalwire/collector.pub")
    assert found.mqtt is not None
    assert found.mqtt.url == "mqtts://broker.example:8883" and found.mqtt.receipt_timeout_s == 3
    with pytest.raises(AttributeError):
        found.commit_ms = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_an_unknown_key_names_the_nearest_known_one_and_the_line():
    e = failed('# kit\n[agent]\nstate_dir = "x"\n\n[store]\ncomit_ms = 20\n')
    assert e.line == 6
    assert "agent.toml, line 6" in str(e) and "'comit_ms'" in str(e) and "'commit_ms'" in str(e)


def test_an_unknown_key_in_the_second_link():
    e = failed('[[links]]\nport = "a"\n[[links]]\nport = "b"\nboud = 9600\n')
    assert e.line == 5 and "'baud'" in str(e)


def test_an_unknown_table():
    e = failed('[agent]\n[colector]\npublic = "x"\n')
    assert e.line == 2 and "'collector'" in str(e)


def test_a_known_key_in_the_wrong_place_is_told_its_place():
    assert "[mqtt]" in str(failed('[agent]\nurl = "mqtt://x"\n'))
    e = failed("commit_ms = 20\n")
    assert e.line == 1 and "[store]" in str(e)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[store]\ncommit_ms = 51\n", 2, "1 to 50"),
        ("[store]\ncommit_ms = true\n", 2, "whole number"),
        ('[custody]\nbatch_seconds = "2"\n', 2, "number"),
        ("[[links]]\nbaud = 9600\n", 1, "port"),
        ('[[links]]\nport = "a"\n\n[[links]]\nport = "a"\n', 5, "twice"),
        ('[collector]\npublic = "c.pub"\n[mqtt]\nurl = "http://x"\n', 4, "mqtt://host"),
        ('[collector]\npublic = "c.pub"\n[mqtt]\nurl = "mqtt://x:99999"\n', 4, "mqtt://host"),
        ('[collector]\npublic = "c.pub"\n[mqtt]\nurl = "mqtt://me:secret@x"\n', 4, "password"),
        ('[mqtt]\nurl = "mqtt://x"\n', 1, "collector"),
        ('[collector]\npublic = "c.pub"\n[mqtt]\nusername = "x"\n', 3, "url"),
        ('[agent]\nstate_dir = "/tmp/st\\u0000x"\n', 2, "state_dir must be text without NUL"),
        ('[[links]]\nport = "a\\u0000"\n', 2, "port must be text without NUL"),
        ('[agent]\nkey = "k"\nstate_dir = "~nobodyxx/x"\n', 3, "state_dir must be a path, and no home"),
        ('[collector]\npublic = "~nobodyxx/c.pub"\n', 2, "public must be a path, and no home"),
        ("agent = 3\n", 1, "table"),
        ("[agent\n", 1, "TOML"),
        ("[agent]\nkey = \n", 2, "TOML"),
    ],
)
def test_mistakes_have_a_line(text, line, said):
    e = failed(text)
    assert e.line == line and said in str(e)


def test_a_password_is_never_in_the_message_of_its_url():
    assert "hunter2" not in str(failed('[collector]\npublic="c"\n[mqtt]\nurl = "mqtt://me:hunter2@x"\n'))


def test_a_missing_file_is_said_plainly(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.toml")


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(path)
