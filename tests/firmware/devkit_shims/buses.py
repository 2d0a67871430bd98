"""Has the board make buses of several front ends and use its timers again and again; prints what there is."""

from devkit_config import CONFIG

from boards.esp32_devkit.board import Board

ANALOG = {"adc": 34, "lo_plus": 32, "lo_minus": 33}
READY = dict(CONFIG["ecg"], drdy=4, phase=1)

for ecg in (CONFIG["ecg"], READY, ANALOG):
    board = Board(dict(CONFIG, ecg=ecg))
    made = board.bus("ecg")
    print(len(made), board.bus("ecg") is made)
print(len(board.bus("ppg")))
for _ in range(5):
    timer = board.timer(4, lambda timer: timer.deinit())
    timer.deinit()
    timer.deinit()
print("timers")
