"""The home kit: an ESP32-S3 with ECG, finger sensor, cuff and battery; wiring: docs/boards/."""

from boards.esp32_node import Esp32Node


class Board(Esp32Node):
    """What its tables say; PSRAM holds what the radio keeps, so that no reset is needed to get it back."""

    def seeded(self):
        """There is nothing to give back."""
