"""A configuration once it has been read: immutable values. Secrets are paths to files, never values."""

import os
from dataclasses import dataclass, field
from pathlib import Path

AUTO = "auto"


@dataclass(frozen=True)
class LinkConfig:
    """One serial port: a device name, a pyserial URL (`socket://host:port`), or "auto".

    "auto" stands for every USB serial port there is, now and later.
    """

    port: str
    baud: int = 115200


@dataclass(frozen=True)
class TcpConfig:
    """Where nodes connect, and what one connection may take. Port 0: any that is free."""

    host: str
    port: int
    max_connections: int = 1100
    per_node_frames_s: int = 50
    idle_s: float = 90.0
    hello_s: float = 10.0
    mdns: str = "network"


@dataclass(frozen=True)
class BleConfig:
    """Nodes over Bluetooth. `adapter` None: the system's first."""

    adapter: str | None = None
    claim: bool = True
    max_connections: int = 5


@dataclass(frozen=True)
class StoreConfig:
    """How the store is kept. At most one of `key_file`, `credential`, `passphrase_file` is set.

    0 of `quota_mib`, `retention_days`, `wave_days`: no such limit; of both `alarm_strip_…`: no such strips.
    """

    key_file: Path | None = None
    credential: str | None = None
    passphrase_file: Path | None = None
    quota_mib: int = 0
    retention_days: int = 0
    wave_days: int = 0
    min_free_mib: int = 64
    alarm_strip_before_s: int = 20
    alarm_strip_after_s: int = 20


@dataclass(frozen=True)
class MqttConfig:
    """Where batches go. The password is read from its file at connection, and kept nowhere.

    `max_packet_bytes` 0: what the broker says.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    receipt_timeout_s: float = 15.0
    cert_file: Path | None = None
    cert_key_file: Path | None = None
    required: bool = True
    max_packet_bytes: int = 0

    @property
    def url(self) -> str:
        """The broker's address, without credentials."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class FileConfig:
    """The folder that batches are written to, and the one where receipts come back.

    `public`: who they are sealed to, when that is not `[collector] public`.
    """

    out: Path
    receipts: Path | None = None
    required: bool = False
    public: Path | None = None


@dataclass(frozen=True)
class FhirConfig:
    """A FHIR R4 server. The token is read from its file at each request, and kept nowhere."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    cert_key_file: Path | None = None
    required: bool = False
    organization: str | None = None
    strips: bool = True


@dataclass(frozen=True)
class PeopleConfig:
    """Whose signatures on records of people are believed, and what holds where there is no consent."""

    operators: Path | None = None
    consent: str = "required"


@dataclass(frozen=True)
class UpdatesConfig:
    """Updates of nodes; None: in `state_dir`. Shares in percent, as docs/config.md has them."""

    makers: Path | None = None
    groups: Path | None = None
    share_percent: float = 10
    radio_bytes_s: int = 10_000
    at_once: int = 20
    battery_percent: int = 30
    confirm_percent: float = 90
    soak_min: float = 60
    trial_min: float = 30
    absent_min: float = 60


@dataclass(frozen=True)
class OpsConfig:
    """Where metrics are served (None: nowhere), and how the log is written."""

    metrics: tuple[str, int] | None = None
    log: str = "auto"


@dataclass(frozen=True)
class Config:
    """Everything `agent run` needs. Paths are absolute; seconds, milliseconds and bytes as named."""

    state_dir: Path
    key: Path
    links: tuple[LinkConfig, ...] = (LinkConfig(AUTO),)
    commit_ms: int = 40
    batch_s: float = 2.0
    batch_bytes: int = 256 * 1024
    collector: Path | None = None
    mqtt: MqttConfig | None = None
    source: Path | None = field(default=None, compare=False)
    tcp: TcpConfig | None = None
    ble: BleConfig | None = None
    storage: StoreConfig = StoreConfig()
    file: FileConfig | None = None
    fhir: FhirConfig | None = None
    people: PeopleConfig = PeopleConfig()
    remote: Path | None = None
    claim: str = "button"
    updates: UpdatesConfig = UpdatesConfig()
    ops: OpsConfig = OpsConfig()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.state_dir / "agent.db"

    @property
    def errands(self) -> Path:
        """What commands want of the agent that runs."""
        return self.state_dir / "errands"

    @property
    def peers(self) -> Path:
        """The file of paired nodes' public keys."""
        return self.state_dir / "peers.json"

    @property
    def expected(self) -> Path:
        """The file of nodes that kit files listed and that have not come yet."""
        return self.state_dir / "expected.json"

    @property
    def status(self) -> Path:
        """The file that is written every 1 to 4 s."""
        return self.state_dir / "status.json"

    @property
    def operators(self) -> Path:
        """The folder of the public keys whose signatures on records of people are believed."""
        return self.people.operators or self.state_dir / "operators"

    @property
    def authorities(self) -> Path:
        """The folder of the public keys whose commands from afar are carried out, with authorities.toml."""
        return self.remote or self.state_dir / "authorities"

    @property
    def makers(self) -> Path:
        """Whose bundles are taken: a folder of public keys, or one file."""
        return self.updates.makers or self.state_dir / "makers"

    @property
    def groups(self) -> Path:
        """The file of groups of nodes."""
        return self.updates.groups or self.state_dir / "groups.toml"

    @property
    def bundles(self) -> Path:
        """The folder of bundles that nodes are updated with, and of rollouts.json."""
        return self.state_dir / "updates"


def default_state_dir() -> Path:
    """$XDG_DATA_HOME/vitalwire, or ~/.local/share/vitalwire."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vitalwire"


def default_path() -> Path:
    """$VITALWIRE_CONFIG, or $XDG_CONFIG_HOME/vitalwire/agent.toml, or ~/.config/vitalwire/agent.toml."""
    named = os.environ.get("VITALWIRE_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "vitalwire" / "agent.toml"
