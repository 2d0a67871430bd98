"""Argument: the folder of the records. Says how strong the pool is, unless the board resets itself."""

import sys

from boards.esp32_devkit.board import Board
from firmware.entropy import EntropyPool
from firmware.flash import Records

CONFIG = {
    "name": "esp32_devkit",
    "link": {"baud": 115200},
    "button": {"pin": 0},
    "ecg": {"cs": 5, "spi": 2, "baud": 1000000, "sck": 18, "mosi": 23, "miso": 19},
    "ppg": {"i2c": 0, "scl": 22, "sda": 21, "freq": 400000},
    "node": {"watchdog": True},
}

board = Board(CONFIG)
pool = EntropyPool(Records(sys.argv[1]), board.entropy)
if pool.first:
    board.seeded()
print("strong" if pool.strong else "weak")
