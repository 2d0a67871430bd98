"""A kit with a cuff, a charger and three parts on one I2C bus: what it makes of its tables."""

import machine
from devkit_config import CONFIG

from boards.esp32_node import Esp32Node

WIRE = {"i2c": 0, "scl": 9, "sda": 8, "freq": 400000}
PINS = {"pump": 15, "valve": 16, "release": 17, "feed": 18, "arm": 21, "switch": 1}

board = Esp32Node(
    dict(CONFIG, ppg=WIRE, gauge=WIRE, cuff=dict(WIRE, **PINS), charger={"pin": 2, "active_low": False})
)
print(board.bus("ppg")[0] is board.bus("gauge")[0] is board.bus("cuff")[0])
print([pin.number for pin in board.cuff()])
print(board.consent(), board.charging())
machine.levels[0] = 0
machine.levels[2] = 1
print(board.consent(), board.charging())
