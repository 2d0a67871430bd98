"""Where a virtual node's program lies: in the folder of the build, or, of a board with slots, on its
flash.
"""

import re
import shutil
from pathlib import Path

HEAP = "160wK"  # as many words as the heap of an ESP32 without PSRAM
PSRAM_HEAP = "512wK"  # of one with PSRAM, as far as a node can use it
SOURCE_HEAP = "320wK"  # sources, with their names and their compiler, take more than that
SLOTS = "slots.py"
CONFIG = "board_config.py"
# Only a board with PSRAM has memory for two radios.
TWO_RADIOS = re.compile(r"'at_once': [2-9]")


def heap_for(tree: Path) -> str:
    """Of a VM that runs this tree, in words."""
    bytecode = any(tree.glob("node.mpy")) or any(tree.glob("slot_a/node.mpy"))
    configs = [*tree.glob(CONFIG), *tree.glob(f"slot_a/{CONFIG}")]
    psram = any(TWO_RADIOS.search(config.read_text()) for config in configs)
    return PSRAM_HEAP if psram else HEAP if bytecode else SOURCE_HEAP


class FlashTree:
    """`folder`: where main.py is run; `path`: what comes first on the VM's path; `heap`: of the VM that
    runs it, in words.
    """

    def __init__(self, build_dir: Path, flash_dir: Path) -> None:
        self._build_dir = build_dir
        self._flash_dir = flash_dir
        self._on_flash = (build_dir / SLOTS).is_file()
        self.folder = flash_dir if self._on_flash else build_dir
        self.path = "" if self._on_flash else f"{build_dir}:"
        self.heap = heap_for(build_dir)

    def put_on_flash(self) -> None:
        """Make the flash, and put a build with slots on it unless it holds one. Raises OSError."""
        self._flash_dir.mkdir(parents=True, exist_ok=True)
        if self._on_flash and not (self._flash_dir / SLOTS).exists():
            shutil.copytree(self._build_dir, self._flash_dir, dirs_exist_ok=True)
