"""The wearable: a Seeed XIAO ESP32C3 with ECG and finger sensor; wiring: docs/boards/."""

from boards.esp32_node import Esp32Node


class Board(Esp32Node):
    """What its tables say, and no more."""
