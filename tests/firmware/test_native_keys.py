"""A built tree signs with native code, and, where its board cannot compile that, without: the same."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from boards.virtual.rig import SHIMS

BUDGET = Path(__file__).parent / "budget"
# RFC 8032 §7.1, test 2.
SIGNING = """\
import asyncio_ticks
import node
from protocol import ed25519
seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
steps = ed25519.sign_steps(seed, public, b"\\x72")
try:
    while True:
        next(steps)
except StopIteration as end:
    print(end.value.hex())
"""
TWICE = """\
import sys
import asyncio_ticks
import node
for n in range(2):
    from protocol import ed25519
    for name in ("ed25519", "edwards25519", "field25519"):
        del sys.modules["protocol." + name]
        delattr(sys.modules["protocol"], name)
print(sys.path.count("tried"))
"""
FAILING = "import sys\nsys.path.append('tried')\nraise MemoryError\n"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def run(vm, tree, code):
    environment = dict(os.environ, MICROPYPATH=f"{BUDGET}:{tree}:{SHIMS}:.frozen")
    # In the tree: a VM looks for modules where it is, first.
    return subprocess.run(
        [vm, "-c", code], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("native", [True, False])
def test_a_tree_signs(vm, bridge_tree, tmp_path, native):
    tree = tmp_path / "tree"
    shutil.copytree(bridge_tree, tree)
    if not native:
        (tree / "protocol" / "limbs_fast.py").unlink()
    done = run(vm, tree, SIGNING + "import sys\nprint('protocol.limbs_fast' in sys.modules)\n")
    assert done.stdout.split() == [SIGNATURE, str(native)], done.stderr


def test_native_code_without_room_is_not_tried_again(vm, bridge_tree, tmp_path):
    """What an attempt leaves behind, an ESP32 has back at a reset only."""
    tree = tmp_path / "tree"
    shutil.copytree(bridge_tree, tree)
    (tree / "protocol" / "limbs_fast.py").write_text(FAILING)
    done = run(vm, tree, TWICE)
    assert done.stdout.split() == ["1"], done.stderr
