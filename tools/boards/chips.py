"""What the pins of an ESP32, ESP32-S3 and ESP32-C3 are, and what stock MicroPython makes of them.

Sources: the chips' data sheets ("Pin Overview", "Strapping Pins", "Boot Configurations"), ESP-IDF's *GPIO
Summary* of each chip, and MicroPython's ports/esp32 for the numbers of its buses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# The stock images' file system begins behind the firmware, and takes the rest (ports/esp32/partitions*.csv).
FIRMWARE_MIB = 2
# From here on a module's PSRAM has eight lines.
OCTAL_MIB = 8


@dataclass(frozen=True)
class Chip:
    """`pins` there are; of them `flash` and with so much PSRAM `octal`, `quad` belong to the memories.
    `strapping`: what the level of a pin at a reset decides. `uart`: the console's, `usb`: the port's.
    `spi`, `i2c`, `uarts`: the numbers that MicroPython has. `image`: how a stock image's name begins, and
    the `offset` at which it is written; `quad_image`, `octal_image`: the variant for such PSRAM (the port's
    mpconfigvariant files), where it needs one.
    """

    title: str
    pins: frozenset[int]
    flash: frozenset[int]
    strapping: Mapping[int, str]
    uart: Mapping[int, str]
    adc1: frozenset[int]
    adc2: frozenset[int]
    spi: tuple[int, ...]
    i2c: tuple[int, ...]
    uarts: tuple[int, ...]
    image: str
    offset: int
    usb: Mapping[int, str] = field(default_factory=lambda: {})
    input_only: frozenset[int] = frozenset()
    quad: frozenset[int] = frozenset()
    octal: frozenset[int] = frozenset()
    quad_image: str = ""
    octal_image: str = ""

    def psram_image(self, psram_mib: int) -> str:
        """The variant of the stock image that knows this PSRAM; "": none is needed."""
        if not psram_mib:
            return ""
        return self.octal_image if psram_mib >= OCTAL_MIB else self.quad_image

    def taken(self, psram_mib: int) -> frozenset[int]:
        """The pins that flash and PSRAM have for themselves."""
        psram = self.octal if psram_mib >= OCTAL_MIB else self.quad if psram_mib else frozenset[int]()
        return self.flash | psram


def _pins(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(pin for first, last in ranges for pin in range(first, last + 1))


CHIPS: Mapping[str, Chip] = {
    "esp32": Chip(
        title="ESP32",
        pins=_pins((0, 19), (21, 23), (25, 27), (32, 39)),
        flash=_pins((6, 11)),
        quad=_pins((16, 17)),
        octal=_pins((16, 17)),
        strapping={
            0: "high: starts from flash; low: waits for a flash tool",
            2: "has to be low or open for a flash tool to be heard",
            5: "the timing of SDIO; has a pull-up",
            12: "high: the flash is fed with 1.8 V, and one for 3.3 V does not start",
            15: "low: the ROM says nothing on the console; has a pull-up",
        },
        uart={1: "output", 3: "input"},
        input_only=_pins((34, 39)),
        adc1=_pins((32, 39)),
        adc2=frozenset((0, 2, 4, 12, 13, 14, 15, 25, 26, 27)),
        spi=(1, 2),
        i2c=(0, 1),
        uarts=(0, 1, 2),
        image="ESP32_GENERIC",
        offset=0x1000,
        quad_image="SPIRAM",
        octal_image="SPIRAM",
    ),
    "esp32s3": Chip(
        title="ESP32-S3",
        pins=_pins((0, 21), (26, 48)),
        flash=_pins((26, 32)),
        octal=_pins((33, 37)),
        strapping={
            0: "high: starts from flash; low: waits for a flash tool",
            3: "where JTAG comes from; open",
            45: "high: the flash is fed with 1.8 V, and one for 3.3 V does not start",
            46: "has to be low for a flash tool to be heard",
        },
        uart={43: "output", 44: "input"},
        usb={19: "D-", 20: "D+"},
        adc1=_pins((1, 10)),
        adc2=_pins((11, 20)),
        spi=(1, 2),
        i2c=(0, 1),
        uarts=(0, 1, 2),
        image="ESP32_GENERIC_S3",
        offset=0,
        octal_image="SPIRAM_OCT",
    ),
    "esp32c3": Chip(
        title="ESP32-C3",
        pins=_pins((0, 21)),
        flash=_pins((11, 17)),
        strapping={
            2: "has to be high for any start",
            8: "has to be high for a flash tool to be heard",
            9: "high: starts from flash; low: waits for a flash tool",
        },
        uart={21: "output", 20: "input"},
        usb={18: "D-", 19: "D+"},
        adc1=_pins((0, 4)),
        adc2=frozenset((5,)),
        spi=(1,),
        i2c=(0,),
        uarts=(0, 1),
        image="ESP32_GENERIC_C3",
        offset=0,
    ),
}
