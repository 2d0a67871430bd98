"""The systemd unit of the agent, made for this machine and configuration: as little as the agent needs.

What is allowed and why stands beside it, in the unit itself, so that whoever widens it knows what they widen.
"""

import os
import sys
from pathlib import Path

from edge_agent.config import Config

NAME = "vitalwire.service"
PATH = Path("/etc/systemd/system") / NAME
USER = "vitalwire"
CONFIG = Path("/etc/vitalwire/agent.toml")
STATE = Path("/var/lib/vitalwire")
# `systemd-creds encrypt --name=… secret this`
CREDENTIALS = Path("/etc/vitalwire")

TEMPLATE = """\
# Made by `vitalwire service print`. Change it by `systemctl edit vitalwire`, not here.
[Unit]
Description=Vitalwire edge agent
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitIntervalSec=0

[Service]
# READY=1 once the store is open; a large one is checked first, which takes its time.
Type=notify
NotifyAccess=main
ExecStart={command}
TimeoutStartSec=1h
# The agent beats while its loop turns and its commits return.
WatchdogSec=60
Restart=on-failure
RestartSec=10
# It commits and signs what is in hand, which a slow disk may take its time for.
TimeoutStopSec=45
KillSignal=SIGTERM

User={user}
Group={user}
# Who may open serial ports.
SupplementaryGroups=dialout
UMask=0077
StateDirectory=vitalwire
StateDirectoryMode=0700
Environment=XDG_DATA_HOME=/var/lib
{credential}
# Room for a thousand nodes; the kernel's cache of the store counts too, and is given back first.
MemoryHigh=384M
MemoryMax=512M
TasksMax=128
LimitNOFILE=8192
LimitCORE=0

# No new rights, no capability, nothing of the system to write to but the state.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
{paths}PrivateTmp=yes
ProtectProc=invisible
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
# Serial ports, and nothing else of /dev but null, zero, random and the like.
DevicePolicy=closed
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
DeviceAllow=char-ttyAMA rw
DeviceAllow=char-ttyS rw
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# More connections, as far as LimitNOFILE goes; and whether the clock is synchronised, which without a
# capability can only be read.
SystemCallFilter=setrlimit prlimit64 adjtimex clock_adjtime
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def unit(config: Config, config_path: Path, user: str = USER) -> str:
    """The unit for an agent with this configuration, run by `user`."""
    written = [config.state_dir] if config.state_dir != STATE else []
    if config.file is not None:
        written += [config.file.out, *([config.file.receipts] if config.file.receipts else [])]
    # A leading - : that it is not there yet stops nothing, as a stick that is not plugged in.
    paths = "".join(f"ReadWritePaths={_quoted(f'-{path}')}\n" for path in written)
    credential = config.storage.credential
    return TEMPLATE.format(
        command=" ".join(
            _quoted(word) for word in [*program(), "agent", "run", "--config", str(config_path)]
        ),
        user=user,
        home="read-only"
        if any(_in_a_home(path) for path in (config_path, Path(sys.prefix), *written))
        else "yes",
        paths=paths,
        credential=""
        if credential is None
        else "# The store's key, sealed to this machine.\n"
        f"LoadCredentialEncrypted={credential}:{CREDENTIALS / credential}.cred\n",
    )


def program() -> list[str]:
    """How this installation's `vitalwire` is called."""
    beside = Path(sys.executable).parent / "vitalwire"
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-m", "tools.cli"]


def _in_a_home(path: Path) -> bool:
    return path.absolute().parts[1:2] in (("home",), ("root",))


def _quoted(word: str) -> str:
    """One word of a unit's line: % names a specifier there, $ a variable."""
    word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{word}"' if any(c in word for c in " \t'\";\\") else word
