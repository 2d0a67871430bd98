"""`vitalwire kit-demo`: what a family does, how many actions and seconds that takes, and that it worked."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console

from boards.virtual.rig import RigError
from tools.build import BuildError
from tools.demo.processes import ChildError
from tools.kit_demo.scene import SSID, Scene, SceneError

MOST_ACTIONS, MOST_S = 3, 60.0


class Action(NamedTuple):
    """What a person does, and what they then wait for, with what the light says of it."""

    does: str
    do: Callable[[], None]
    waits_for: str
    fact: Callable[[], object]


def actions(scene: Scene) -> list[Action]:
    """The steps of docs/for-families.md."""
    begin = Action(
        "plug the kit in", scene.plug_in, "its light flashes white: it is new", lambda: scene.shines("WHITE")
    )
    hold = Action(
        "hold its button until the light is green",
        scene.hold_button,
        "the first heartbeat is at the agent",
        lambda: scene.heart_rate,
    )
    if scene.cable:
        return [begin._replace(does="plug the kit into the agent's USB port"), hold]
    network = Action(
        f"on the phone, choose the network “{SSID}” and type its password",
        scene.give_network,
        "the kit is in the network",
        lambda: True,  # so says the phone
    )
    return [begin, network, hold]


@click.command("kit-demo", short_help="A family's way: from a new kit to the first heartbeat.")
@click.option("--cable", is_flag=True, help="The kit is plugged into the agent: no Wi-Fi, no phone.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep stores and logs in this folder."
)
def command(cable: bool, keep: Path | None) -> None:
    """Play the way of docs/for-families.md on this machine: a kit that is nobody's, a phone, an agent.

    Kit, radios and person are software; firmware, Improv, BLE stack, mDNS, TCP, pairing and agent are real.
    Counted are the actions of a person and the seconds from the first of them to the first heartbeat.

    \b
    Example:
      vitalwire kit-demo
    """
    out = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="vitalwire-kit-") as temporary:
        folder = (keep or Path(temporary)).resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise click.ClickException(f"cannot write {folder}: {e.strerror}") from e
        try:
            out.print("before: the kit is flashed and labelled, and the agent in the flat expects it")
            with Scene(folder, cable) as scene:
                took_s, done, rate = _play(scene, out)
        except (SceneError, ChildError, RigError, BuildError, OSError) as e:
            raise click.ClickException(str(e)) from e
    good = done <= MOST_ACTIONS and took_s < MOST_S
    out.print(
        f"\n{done} actions, {took_s:.0f} s from the first of them to the first heartbeat ({rate:.0f}/min);"
        f" aimed at: {MOST_ACTIONS} actions, {MOST_S:.0f} s"
    )
    raise SystemExit(0 if good else 1)


def _play(scene: Scene, out: Console) -> tuple[float, int, float]:
    began = time.monotonic()
    steps = actions(scene)
    for n, action in enumerate(steps, 1):
        out.print(f"{time.monotonic() - began:5.1f} s  {n}. {action.does}")
        action.do()
        scene.until(action.fact, action.waits_for)
        out.print(f"{time.monotonic() - began:5.1f} s     {action.waits_for}")
    rate = scene.heart_rate
    assert rate is not None
    return time.monotonic() - began, len(steps), rate
