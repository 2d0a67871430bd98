"""What only several keys together say: mistakes, and what is allowed but wants to be known."""

from collections.abc import Iterator, Mapping
from typing import Any

from edge_agent.config.checks import address, host_port, is_loopback
from edge_agent.config.source import Source

Given = Mapping[str, Mapping[str, Any]]

KEY_SOURCES = ("key_file", "credential", "passphrase_file")


def combined(source: Source, given: Given) -> None:
    """Raise ConfigError for keys that contradict or lack each other."""
    collector = "public" in given.get("collector", {})
    if "mqtt" in given and not collector:
        raise source.error(
            "[mqtt] without a collector", "mqtt", 0, None,
            'batches are sealed to the collector\'s key: [collector] public = "collector.pub"',
        )  # fmt: skip
    if "file" in given:
        _file(source, given["file"], collector)
    for table in ("mqtt", "fhir"):
        if table in given:
            _tls(source, table, given[table])
    if "fhir" in given and "people" not in given:
        raise source.error(
            "[fhir] without [people]", "fhir", 0, None,
            'only a person\'s frames become resources; who assigns nodes: [people] operators = "operators"',
        )  # fmt: skip
    mqtt = given.get("mqtt", {})
    if "password_file" in mqtt and "username" not in mqtt:
        raise source.error(
            "password_file without username", "mqtt", 0, "password_file", 'username = "kit-12"'
        )
    _store(source, given.get("store", {}))


def _file(source: Source, file: Mapping[str, Any], collector: bool) -> None:
    if file.get("required") and "in" not in file:
        raise source.error(
            "required = true without in", "file", 0, "required", "the folder where receipts come back: in = …"
        )
    if "in" in file and file["in"] == file["out"]:
        raise source.error("in and out are one folder", "file", 0, "in", "name two")
    if not collector and "public" not in file:
        raise source.error(
            "[file] without a public key", "file", 0, None,
            'batches are sealed to it: public = "hospital.pub", or [collector] public',
        )  # fmt: skip


def _tls(source: Source, table: str, values: Mapping[str, Any]) -> None:
    if "cert_key_file" in values and "cert_file" not in values:
        raise source.error(
            "cert_key_file without cert_file", table, 0, "cert_key_file", "the certificate: cert_file = …"
        )
    scheme, _ = address(values["url"])
    if scheme in ("mqtts", "https"):
        return
    for key in ("ca_file", "cert_file"):
        if key in values:
            raise source.error(
                f"{key} without TLS", table, 0, key, f"write the url with {scheme}s://, or leave {key} out"
            )


def _store(source: Source, store: Mapping[str, Any]) -> None:
    keys = [key for key in KEY_SOURCES if key in store]
    if len(keys) > 1:
        raise source.error(f"{keys[0]} and {keys[1]}", "store", 0, keys[1], "the store has one key: keep one")
    retention, waves = store.get("retention_days", 0), store.get("wave_days", 0)
    if retention and waves > retention:
        raise source.error(
            f"wave_days {waves} is more than retention_days {retention}", "store", 0, "wave_days",
            "waves cannot outlive what they belong to",
        )  # fmt: skip


def warnings(source: Source, given: Given) -> Iterator[str]:
    """What the file allows and its reader may not know: a sentence each, with its line."""

    def told(table: str, key: str, text: str) -> str:
        return f"{source.path}, line {source.line(table, 0, key)}: {text}"

    tcp = given.get("tcp", {})
    host, _ = host_port(tcp.get("listen", "")) or ("127.0.0.1", 0)
    if not is_loopback(host):
        yield told(
            "tcp", "listen",
            f"{tcp['listen']} is open to its network: frames are sealed and nodes prove themselves there, but"
            " anybody may take up connections (max_connections, hello_s and per_node_frames_s bound them);"
            " let a firewall admit the nodes' network only",
        )  # fmt: skip
    for table, secret in (("mqtt", "password_file"), ("fhir", "token_file")):
        values = given.get(table, {})
        scheme, at = address(values.get("url", ""))
        if scheme in ("mqtt", "http") and not is_loopback(at):
            if table == "fhir":
                yield told(
                    table,
                    "url",
                    f"http:// shows everybody on the way what is measured: use {scheme}s://",
                )
            elif secret in values:
                yield told(table, "url", f"mqtt:// sends the password in the clear: use {scheme}s://")
    store, forwarders = given.get("store", {}), ("mqtt", "file", "fhir")
    required = {"mqtt": True}
    if (store.get("quota_mib") or store.get("retention_days") or store.get("wave_days")) and not any(
        given[name].get("required", required.get(name, False)) for name in forwarders if name in given
    ):
        key = next(k for k in ("quota_mib", "retention_days", "wave_days") if store.get(k))
        yield told(
            "store", key, "no forwarder is required: what is old goes, whether or not anybody else has it"
        )
    people = given.get("people", {})
    if people.get("consent") == "assumed":
        yield told("people", "consent", "a person's frames go to every forwarder without a record of consent")
