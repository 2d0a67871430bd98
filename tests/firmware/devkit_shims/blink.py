"""Argument: the GPIO of the light, or nothing. Has the board show itself."""

import sys

from devkit_config import CONFIG

from boards.esp32_devkit.board import Board

if len(sys.argv) > 1:
    CONFIG["led"] = {"pin": int(sys.argv[1])}
Board(CONFIG).identify()
print("shown")
