"""Argument: the table [led] as JSON, or nothing. Shows every light with and without the buzzer, and says what
the pins were set to.
"""

import json
import sys

import machine
from devkit_config import CONFIG

from boards.esp32_node import Esp32Node

if len(sys.argv) > 1:
    CONFIG["led"] = json.loads(sys.argv[1])
    CONFIG["buzzer"] = {"pin": 7}
board = Esp32Node(CONFIG)
print(board.lights)
for light in range(8):
    machine.shown.clear()
    board.signal(light, light & 1)
    print(light, sorted(machine.shown.items()))
