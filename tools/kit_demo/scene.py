"""What stands in the flat: a kit in its box, an agent (the clinic's box) in the same network, a phone.

The kit is the virtual one: its firmware on a MicroPython VM, its radios on a simulated air, and a person with
a heart for its sensors. The agent is the agent.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards.virtual.air import AccessPoint
from boards.virtual.ble.radio import Radio
from boards.virtual.patient import make_patient
from boards.virtual.rig import VirtualNode
from edge_agent.config import LinkConfig
from edge_agent.links.ports import open_port, read_some
from edge_agent.ops import status
from protocol import cobs, messages
from protocol.errors import HelloError
from tools import build
from tools.demo.broker import LOOPBACK
from tools.demo.processes import Child, ChildError, Together
from tools.flash import kit
from tools.flash.node import Keys

AGENT_TOML = """\
[agent]
state_dir = {state}

[tcp]
listen = "{host}:0"
mdns = "always"
"""
SSID, PASSWORD = "Flat 7", "correct horse battery"
POLL_S = 0.05
STEP_S = 120.0


class SceneError(Exception):
    """Something did not come about; the text says what."""


class Scene(Together):
    """On entry the kit lies in its box, its keys made, and the agent expects it (as after `vitalwire flash`
    and `vitalwire kit import`).
    """

    def __init__(self, folder: Path, cable: bool) -> None:
        super().__init__()
        self.folder = folder
        self.cable = cable
        self._lit: set[str] = set()

    def _start(self) -> None:
        tree = self.folder / "kit"
        made = build.make("virtual_kit")
        build.write(made, tree)
        radio = self._radio = self._exit.enter_context(Radio())
        self.node = VirtualNode(
            tree,
            self.folder / "flash",
            patient=make_patient(None, seed=1),
            log=self.folder / "node.log",
            ble=radio.peripheral().path,
        )
        self._watched()
        self._exit.callback(self.node.close)
        self.node.start()
        self.keys = self._first_hello()
        self.node.kill()
        self.node.air.set([AccessPoint(SSID, PASSWORD)])
        kit_file = self.folder / "kit.json"
        kit.add(
            kit_file, self.keys, made.board, made.version, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        )
        config = self.folder / "agent.toml"
        text = AGENT_TOML.format(state=json.dumps(str(self.folder / "agent")), host=LOOPBACK)
        if self.cable:
            text += f"\n[[links]]\nport = {json.dumps(self.node.port)}\n"
        config.write_text(text)
        if not self.cable:
            self._command("kit", "import", str(kit_file), "--config", str(config))
        self.agent = Child("agent", ["agent", "run", "--config", str(config)], self.folder / "agent.log")
        self._exit.callback(self.agent.stop)
        self.until(lambda: self.status["state"] == "running", "the agent runs")

    def _first_hello(self) -> Keys:
        """The keys that the kit has made, as it says them while it is nobody's."""
        line = open_port(LinkConfig(self.node.port))
        decoder = cobs.Decoder()
        until = time.monotonic() + STEP_S
        try:
            line.write(b"\0" + cobs.encode(messages.solicit(messages.VERSION)))
            while time.monotonic() < until:
                for message in decoder.feed(read_some(line)):
                    try:
                        kind, fields = messages.parse_clear(message)
                    except HelloError:
                        continue
                    if kind == messages.MSG_HELLO and fields["keys"]:
                        return Keys(*fields["keys"])
        finally:
            line.close()
        raise SceneError("the kit says no hello")

    def _command(self, *words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tools.cli", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SceneError(done.stderr.strip())

    # What is seen

    @property
    def status(self) -> dict[str, Any]:
        """What the agent says of itself."""
        return status.read(self.folder / "agent" / "status.json") or {}

    @property
    def seen(self) -> dict[str, Any]:
        """What the agent says of the kit; {} before it is paired."""
        return next((one for one in self.status["nodes"] if one["node"] == self.keys.id), {})

    @property
    def heart_rate(self) -> float | None:
        """The kit's newest heart rate at the agent, in 1/min."""
        return (self.seen.get("vitals") or {}).get("hr_bpm")

    def until(self, fact: Callable[[], Any], what: str) -> None:
        """Wait. SceneError when it does not come about; ChildError when the agent ends."""
        deadline = time.monotonic() + STEP_S
        while True:
            try:
                if fact():
                    return
            except LookupError:
                pass
            if hasattr(self, "agent"):
                self.agent.check()
            if self.node.died:
                raise ChildError("kit", self.node.exit_code, "")
            if time.monotonic() > deadline:
                raise SceneError(f"not within {STEP_S:g} s: {what}")
            time.sleep(POLL_S)

    def shines(self, colour: str) -> bool:
        """Whether the kit's light has had that colour since somebody touched the kit: a flash is short."""
        return f"LED_{colour}" in self._lit

    def _watched(self) -> None:
        pins = self.node.bench.pins
        before = pins.watch

        def changing(name: str, level: int) -> None:
            if level:
                self._lit.add(name)
            if before is not None:
                before(name, level)

        pins.watch = changing

    # What a person does

    def plug_in(self) -> None:
        """The kit gets power; with `cable`, from the agent's USB port."""
        self._lit.clear()
        self.node.power_cycle()

    def give_network(self) -> None:
        """The phone's app: this network, this password. SceneError with its words."""
        done = subprocess.run(
            [sys.executable, "-m", "tools.kit_demo.phone", self._radio.hci, SSID],
            input=PASSWORD + "\n",
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        if done.returncode:
            raise SceneError(f"the phone says: {done.stderr.strip().splitlines()[-1]}")

    def hold_button(self) -> None:
        """Hold it until the light is green."""
        self._lit.clear()
        self.node.bench.pins["BUTTON"] = 1
        try:
            self.until(lambda: self.shines("GREEN"), "the light is green")
        finally:
            self.node.bench.pins["BUTTON"] = 0
