"""The heap that a node leaves with a full outbox. What it costs in time is shown, not judged: `python -m
tools.bench node` measures that.
"""

import os
import subprocess
import tomllib
from pathlib import Path

from boards.virtual.rig import HEAP, SHIMS
from firmware.app import HEAP_RESERVE

BUDGET = Path(__file__).parent / "budget"
BOARDS = Path(__file__).resolve().parents[2] / "boards"

# The collector takes what lies on the C stack for pointers, and by chance one keeps some 1.6 KB. Where the
# stack lies depends on the environment.
ENVIRONMENTS = ("", "x" * 100, "x" * 3000)


def measure(vm, heap, tree, flash, board):
    """(ms of CPU a second, bytes of heap free, the least of them) with the outbox of `board` full: the most
    of several runs, and the least of all.
    """
    runs = [one_run(vm, heap, tree, flash / str(n), board, n) for n in range(len(ENVIRONMENTS))]
    return min(ms for ms, _, _ in runs), max(free for _, free, _ in runs), min(least for _, _, least in runs)


def one_run(vm, heap, tree, flash, board, n):
    flash.mkdir()
    outbox = tomllib.loads((BOARDS / board / "board.toml").read_text())["node"]["outbox_bytes"]
    path = f"{BUDGET}:{tree}:{SHIMS}:.frozen"
    environment = dict(os.environ, MICROPYPATH=path, BUDGET_PADDING=ENVIRONMENTS[n])
    command = [vm, "-X", f"heapsize={heap}", str(BUDGET / "budget_node.py"), str(flash), str(outbox)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    return float(words[1]), int(words[3]), int(words[5])


def test_a_full_outbox_leaves_room_on_an_esp32(vm, bridge_tree, tmp_path):
    """Bytecode; where $MICROPYTHON32 is a 32-bit VM, with exactly the heap of an ESP32: never so little that
    the outbox would have to give way.
    """
    small = os.environ.get("MICROPYTHON32")
    heap = "164K" if small else HEAP
    cpu_ms, heap_free, least = measure(small or vm, heap, bridge_tree, tmp_path, "esp32_bridge")
    bits = 32 if small else 64
    print(f"bytecode, {bits} bit: {cpu_ms} ms of CPU a second, {heap_free} bytes free, {least} at least")
    assert heap_free > (18000 if small else 105000) and least > HEAP_RESERVE
