"""An agent alone whose way to its nodes is Bluetooth."""

import sys
from pathlib import Path
from typing import Any

from boards.virtual.ble.radio import Radio
from boards.virtual.rig import VirtualNode
from edge_agent.ledger.ledger import PARTS
from hil_tests.nodes import BenchNode
from hil_tests.stack import Stack

# So begins the name of an adapter of software (boards/virtual/ble).
SOFTWARE = "tcp-client:"
TCP = '[tcp]\nlisten = "127.0.0.1:0"\nmdns = "never"\n'


class BleHome(Stack):
    """Without a collector: what it has stays pending. `radio`: a radio of software, or the name of one of
    this machine's adapters; `ports`: serial ports that it has beside.
    """

    def __init__(self, folder: Path, radio: Radio | str, ports: list[str]) -> None:
        super().__init__(folder, ports)
        adapter = radio if isinstance(radio, str) else radio.hci
        ble = "[ble]\n"
        if adapter.startswith(SOFTWARE):
            python = [sys.executable, "-m"]
            self.commands["agent"] = [*python, "boards.virtual.ble.with_radio", adapter, "tools.cli"]
        else:
            ble += f'adapter = "{adapter}"\n'
        self.folder.mkdir(parents=True)
        # With a listener there is no search for serial ports of the machine that the test runs on.
        links = "".join(f'[[links]]\nport = "{port}"\n' for port in ports)
        self.config.write_text(f'[agent]\nstate_dir = "{self.agent_dir}"\n{TCP}{ble}{links}')

    def pair_over_cable(self, node: VirtualNode | BenchNode) -> None:
        """While this agent does not run."""
        self.command("pair", "--config", str(self.config), "--port", node.port, "--yes")

    @property
    def stored(self) -> int:
        """Frames on its disk, of this run."""
        try:
            return self.status()["store"]["stored_frames"]
        except (OSError, ValueError):
            return 0

    def link(self) -> str | None:
        """On which link its node lives."""
        live = [node["link"] for node in self.status()["nodes"] if node["live"]]
        return live[0] if live else None

    def boot(self) -> int:
        """The boot of its node that it has heard of last."""
        return max((node.get("boot") or 0 for node in self.status()["nodes"]), default=0)

    def wait_ble(self) -> None:
        """Until its node lives on Bluetooth."""
        self.wait_until("live over bluetooth", lambda: (self.link() or "").startswith("ble "))

    def wait_more(self, frames: int) -> None:
        """Until so many frames more are on its disk."""
        enough = self.stored + frames
        self.wait_until(f"{frames} frames more", lambda: self.stored >= enough)

    def assert_explained(self) -> dict[str, Any]:
        """What its node has made is here, once, or it is said where it is; the ledger's sums."""
        self.command("verify", "--config", str(self.config))
        ledger = self.ledger()
        assert ledger["balanced"] and not ledger["totals"]["unexplained"], ledger
        for row in ledger["rows"]:
            assert row["produced"] == sum(row[part] for part in PARTS), row
        return ledger["totals"]
