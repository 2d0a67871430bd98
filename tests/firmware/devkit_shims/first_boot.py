"""Argument: the folder of the records. Says how strong the pool is, unless the board resets itself."""

import sys

from devkit_config import CONFIG

from boards.esp32_devkit.board import Board
from firmware.entropy import EntropyPool
from firmware.flash import Records

board = Board(CONFIG)
pool = EntropyPool(Records(sys.argv[1]), board.entropy)
if pool.first:
    board.seeded()
print("strong" if pool.strong else "weak")
