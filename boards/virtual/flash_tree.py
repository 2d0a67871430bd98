"""Where a virtual node's program lies: in the folder of the build, or, of a board with slots, on its
flash.
"""

import shutil
from pathlib import Path

SLOTS = "slots.py"


class FlashTree:
    """`folder`: where main.py is run; `path`: what comes first on the VM's path; `bytecode`: whether the
    build is such.
    """

    def __init__(self, build_dir: Path, flash_dir: Path) -> None:
        self._build_dir = build_dir
        self._flash_dir = flash_dir
        self._on_flash = (build_dir / SLOTS).is_file()
        self.folder = flash_dir if self._on_flash else build_dir
        self.path = "" if self._on_flash else f"{build_dir}:"
        self.bytecode = any(build_dir.glob("node.mpy")) or any(build_dir.glob("slot_a/node.mpy"))

    def put_on_flash(self) -> None:
        """Make the flash, and put a build with slots on it unless it holds one. Raises OSError."""
        self._flash_dir.mkdir(parents=True, exist_ok=True)
        if self._on_flash and not (self._flash_dir / SLOTS).exists():
            shutil.copytree(self._build_dir, self._flash_dir, dirs_exist_ok=True)
