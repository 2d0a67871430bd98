"""The development board's settings, as a build has them, without a light."""

CONFIG = {
    "name": "esp32_devkit",
    "link": {"baud": 115200},
    "button": {"pin": 0, "active_low": True},
    "ecg": {"cs": 5, "spi": 2, "baud": 1000000, "sck": 18, "mosi": 23, "miso": 19},
    "ppg": {"i2c": 0, "scl": 22, "sda": 21, "freq": 400000},
    "node": {"watchdog": True},
}
