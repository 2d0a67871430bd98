"""Every table and key of the configuration: its check, default, unit and meaning.

The parser, `vitalwire config example` and docs/config.md are made from it.
"""

from collections.abc import Mapping

from edge_agent.config.checks import (
    BROKER,
    CREDENTIAL,
    LISTEN,
    LOOPBACK,
    PATH,
    SERVER,
    TEXT,
    TRUTH,
    number,
    one_of,
    whole,
)
from edge_agent.config.described import Key, Table
from edge_agent.config.table_nodes import NODES


def _certificates(whose: str) -> tuple[Key, ...]:
    return (
        Key(
            "ca_file",
            PATH,
            None,
            f"certificates that the {whose}'s is checked against",
            shown="the system's",
            example="ca.pem",
        ),
        Key(
            "cert_file",
            PATH,
            None,
            f"our certificate (PEM, with its chain), where the {whose} asks for one",
            example="client.pem",
        ),
        Key(
            "cert_key_file",
            PATH,
            None,
            "its key, unencrypted, for the agent's user alone",
            shown="the file of `cert_file`",
            example="client.key",
        ),
    )


TABLES: Mapping[str, Table] = {
    "agent": Table(
        "Where the agent lives.",
        (
            Key(
                "state_dir",
                PATH,
                None,
                "the folder of everything that the agent keeps",
                shown="`~/.local/share/vitalwire`",
                example="/var/lib/vitalwire",
            ),
            Key(
                "key",
                PATH,
                None,
                (
                    "its secret keys (mode 0600), made at the first start; the public half lies beside "
                    "them as `.pub`"
                ),
                shown="`state_dir/agent.key`",
                example="/var/lib/vitalwire/agent.key",
            ),
        ),
    ),
    "links": Table(
        (
            'Serial ports, a table each. Without any: `port = "auto"`, or no serial port where `[tcp]` is'
            " given."
        ),
        (
            Key(
                "port",
                TEXT,
                None,
                (
                    'a serial port, a pyserial URL (`socket://host:port`), or `"auto"`: every USB serial '
                    "port there is, now and later"
                ),
                example="/dev/ttyUSB0",
            ),
            Key("baud", whole(300, 4_000_000), 115200, "its speed", unit="baud"),
        ),
        needs="port",
        many=True,
    ),
    "tcp": Table(
        (
            "A listener for nodes that come over TCP. Frames are sealed and nodes prove themselves on it "
            "as on a cable."
        ),
        (
            Key(
                "listen",
                LISTEN,
                None,
                "where; anything but loopback is open to that network. `*:7117`: every address, IPv4 and "
                "IPv6",
                example="127.0.0.1:7117",
            ),
            Key("max_connections", whole(1, 65000), 1100, "further ones are closed at once"),
            Key(
                "per_node_frames_s",
                whole(1, 100_000),
                50,
                "what one node may send on average; beyond it, its connection is read more slowly",
                unit="frames/s",
            ),
            Key(
                "idle_s",
                number(1, 3600),
                90,
                "a connection that says nothing for so long is closed",
                unit="s",
            ),
            Key(
                "hello_s", number(0.1, 600), 10, "… and one that has not proved whose it is by then", unit="s"
            ),
            Key(
                "mdns",
                one_of("network", "always", "never"),
                "network",
                "whether nodes are told by multicast DNS where it is (docs/wifi.md). `network`: unless it is "
                "on loopback",
            ),
        ),
        needs="listen",
    ),
    "store": Table(
        "The store: one encrypted SQLite file. At most one of the three sources of its key.",
        (
            Key(
                "commit_ms",
                whole(1, 50),
                40,
                "frames gather for so long before one transaction makes them durable; two and a half times "
                "as long while no node has sent several and waits",
                unit="ms",
            ),
            Key(
                "key_file",
                PATH,
                None,
                "the file of the store's key (mode 0600), made at the first start",
                shown="`state_dir/store.key`",
                example="/var/lib/vitalwire/store.key",
            ),
            Key(
                "credential",
                CREDENTIAL,
                None,
                "the systemd credential that holds the store's key",
                example="vitalwire-store-key",
            ),
            Key(
                "passphrase_file",
                PATH,
                None,
                "a file with a passphrase that the store's key is derived from",
                example="passphrase",
            ),
            Key(
                "quota_mib",
                whole(0, 16_777_216),
                0,
                (
                    "the store's greatest size, its log of 16 MiB not counted; when it is full, what is "
                    "delivered goes: waves, then strips, then trends, then whole batches but for their "
                    "signed heads and receipts, the oldest first; then, if that is enough, waves, strips "
                    "and trends that are not delivered. Each eviction is recorded. 0: none"
                ),
                unit="MiB",
            ),
            Key(
                "retention_days",
                whole(0, 36_500),
                0,
                "what is older, and where it is required, goes. 0: kept for ever",
                unit="days",
            ),
            Key(
                "wave_days",
                whole(0, 36_500),
                0,
                "the same for waveforms that no strip keeps. 0: like everything else",
                unit="days",
            ),
            Key(
                "min_free_mib",
                whole(0, 16_777_216),
                64,
                (
                    "with less than that free on its disk and unused in the file, what is delivered goes as "
                    "for a quota, and nothing else; what is freed is used anew, and goes back to the disk "
                    "once a quarter of the file is unused, or by `vitalwire store compact`. 0: none"
                ),
                unit="MiB",
            ),
            Key(
                "alarm_strip_before_s",
                whole(0, 120),
                20,
                "ECG and PPG of so long before an alarm begins are kept as strips. 0 here and below: none",
                unit="s",
            ),
            Key("alarm_strip_after_s", whole(0, 120), 20, "… and of so long after it", unit="s"),
        ),
    ),
    "custody": Table(
        "When what is stored is signed.",
        (
            Key(
                "batch_seconds",
                number(0.1, 2.0),
                2,
                "a batch at least so often while there is something to sign",
                unit="s",
            ),
            Key("batch_kib", whole(8, 256), 256, "… and as soon as so much waits", unit="KiB"),
        ),
    ),
    "collector": Table(
        "Whom batches are for.",
        (
            Key(
                "public",
                PATH,
                None,
                "the collector's `.pub` file: batches are encrypted to it, receipts checked against it",
                example="collector.pub",
            ),
        ),
    ),
    "mqtt": Table(
        "Batches to a broker: MQTT 5, or 3.1.1 where it knows no other. Needs `[collector]`.",
        (
            Key(
                "url",
                BROKER,
                None,
                "`mqtt://host[:1883]` or `mqtts://host[:8883]`",
                example="mqtts://broker.example",
            ),
            Key("username", TEXT, None, "the user's name there", example="kit-12"),
            Key(
                "password_file",
                PATH,
                None,
                "a file with the password, read at each connection; it is in no message or status",
                example="mqtt-password",
            ),
            *_certificates("broker"),
            Key(
                "receipt_timeout_s",
                number(1, 3600),
                15,
                "a batch without a receipt is sent again after this, then twice as long, up to 10 min",
                unit="s",
            ),
            Key("required", TRUTH, True, "nothing that the collector has not receipted this way is freed"),
            Key(
                "max_packet_kib",
                whole(0, 262_143),
                0,
                "the broker's greatest packet; a larger batch is not sent. 0: what it says itself",
                unit="KiB",
            ),
        ),
        needs="url",
    ),
    "file": Table(
        (
            "Batches to a folder, for a machine without a network: carried over by hand, receipts carried"
            " back."
        ),
        (
            Key("out", PATH, None, "batches are written here, a file each", example="/media/usb/out"),
            Key("in", PATH, None, "receipts are read from here", example="/media/usb/in"),
            Key("required", TRUTH, False, "nothing that has no receipt from here is freed; needs `in`"),
            Key(
                "public",
                PATH,
                None,
                "the `.pub` file of whom these batches are for",
                shown="`[collector] public`",
                example="hospital.pub",
            ),
        ),
        needs="out",
    ),
    "fhir": Table(
        "Observations to a FHIR R4 server. Needs `[people]`: only a person's frames become resources.",
        (
            Key("url", SERVER, None, "the server's base address", example="https://fhir.example/r4"),
            Key(
                "token_file",
                PATH,
                None,
                "a file with a bearer token, read at each request; it is in no message or status",
                example="fhir-token",
            ),
            *_certificates("server"),
            Key("required", TRUTH, False, "nothing that the server has not accepted is freed"),
            Key(
                "organization",
                TEXT,
                None,
                "the identifier of the organization that answers for the data",
                example="urn:oid:2.999.1",
            ),
            Key("strips", TRUTH, True, "strips go too, of commands, alarms and events, as SampledData"),
        ),
        needs="url",
    ),
    "people": Table(
        "Who may say whose a node is.",
        (
            Key(
                "operators",
                PATH,
                None,
                (
                    "a folder of `.pub` files: signatures of these on assignments, consents and erasures "
                    "are believed"
                ),
                shown="`state_dir/operators`",
                example="operators",
            ),
            Key(
                "consent",
                one_of("required", "assumed"),
                "required",
                "whether a person's frames go to a forwarder without a record of consent",
            ),
        ),
    ),
    "remote": Table(
        "Commands from afar.",
        (
            Key(
                "authorities",
                PATH,
                None,
                (
                    "a folder of `.pub` files, and `authorities.toml`, which says what each may order; "
                    "without them nothing is ordered from afar"
                ),
                shown="`state_dir/authorities`",
                example="authorities",
            ),
        ),
    ),
    "ops": Table(
        "For whoever looks after it.",
        (
            Key(
                "metrics",
                LOOPBACK,
                None,
                "where `/metrics` (Prometheus) and `/healthz` are served",
                example="127.0.0.1:9117",
            ),
            Key(
                "log",
                one_of("auto", "text", "json"),
                "auto",
                "lines for a person, or a JSON object each; auto: lines on a terminal, else JSON",
            ),
        ),
    ),
    **NODES,
}
