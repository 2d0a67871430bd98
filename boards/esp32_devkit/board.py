"""An ESP32 development board with a MAX30003 on SPI and a MAX30102 on I2C; wiring: docs/boards/."""

from boards.esp32_node import Esp32Node


class Board(Esp32Node):
    """What its tables say, and no more."""
