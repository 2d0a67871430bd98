"""The rules for boards: those that there are keep them, and each rule finds what breaks it, with where it is
and what to do.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tools import build
from tools.boards.check import faults
from tools.boards.chips import CHIPS
from tools.boards.command import command

DRIVERS = build.ROOT / "drivers"
BOARDS = build.board_names()
S3, DEV, C3, BRIDGE = "esp32_s3_kit", "esp32_devkit", "xiao_esp32c3", "esp32_bridge"


@dataclass
class Board:
    """A board's description, of which a test may break something."""

    name: str
    parts: dict[str, str]
    settings: dict[str, Any]
    chip: dict[str, Any]
    image: dict[str, Any]
    wiring: dict[str, Any]


def described(name: str) -> Board:
    read = copy.deepcopy(build.read_board(name))
    settings = {**read.settings}
    # A rule is tried without what features bring.
    for table in ("wifi", "ble", "spool", "update", "radio"):
        settings.pop(table, None)
    return Board(name, read.parts, settings, read.chip, read.image, read.wiring)


def put(board: Board, path: str, value: object) -> None:
    """`path`: table.key, or a table; a value None takes it away."""
    table, _, key = path.partition(".")
    room = {"chip": board.chip, "image": board.image, "wiring": board.wiring, "parts": board.parts}
    target = room.get(table)
    if target is None:
        target = board.settings.setdefault(table, {}) if key else board.settings
        key = key or table
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_keeps_the_rules(name: str) -> None:
    assert faults(build.read_board(name), DRIVERS) == []


AD8232 = {"adc": 34, "lo_plus": 32, "lo_minus": 33}

BROKEN = [
    # pins
    (DEV, {"button.pin": 18}, "[button] pin", "GPIO 18 is [ecg] sck already", "needs another pin"),
    (S3, {"cuff.pump": 4}, "[led] red", "[cuff] pump already", "needs another pin"),
    (S3, {"led.blue": 9}, "[led] blue", "GPIO 9 is [ppg] scl already", "needs another pin"),
    (S3, {"led.red": 5}, "[led] green", "GPIO 5 is [led] red already", "needs another pin"),
    (
        DEV,
        {"ppg.scl": 24},
        "[ppg] scl",
        "an ESP32 has no GPIO 24",
        "choose one of 0 to 5, 12 to 19, 21 to 23",
    ),
    (C3, {"ecg.cs": 22}, "[ecg] cs", "an ESP32-C3 has no GPIO 22", "choose one of 0 to 10, 18 to 21"),
    (S3, {"buzzer.pin": 23}, "[buzzer] pin", "an ESP32-S3 has no GPIO 23", "choose one of"),
    (DEV, {"ppg.scl": 34}, "[ppg] scl", "GPIO 34 of an ESP32 is an input only", "another pin"),
    (DEV, {"ecg.cs": 39}, "[ecg] cs", "GPIO 39 of an ESP32 is an input only", "another pin"),
    (DEV, {"button.pin": 34}, "[button] pin", "GPIO 34 has no pull of its own", '"gpio34: …"'),
    (
        DEV,
        {"ppg.sda": 12},
        "[ppg] sda",
        "GPIO 12 is read at a reset: high: the flash is fed with 1.8 V",
        "[wiring] accepted",
    ),
    (C3, {"ppg.sda": 2}, "[ppg] sda", "GPIO 2 is read at a reset: has to be high", '"gpio2: …"'),
    (S3, {"charger.pin": 46}, "[charger] pin", "GPIO 46 is read at a reset", '"gpio46: …"'),
    (DEV, {"ppg.sda": 7}, "[ppg] sda", "GPIO 7 of this ESP32 belongs to its flash or PSRAM", "choose one of"),
    (
        BRIDGE,
        {"chip.psram_mib": 4},
        "[bridge] tx",
        "GPIO 17 of this ESP32 belongs to its flash or PSRAM",
        "choose",
    ),
    (
        S3,
        {"buzzer.pin": 30},
        "[buzzer] pin",
        "GPIO 30 of this ESP32-S3 belongs to its flash",
        "choose one of",
    ),
    (
        S3,
        {"buzzer.pin": 35, "chip.psram_mib": 8},
        "[buzzer] pin",
        "GPIO 35 of this ESP32-S3 belongs",
        "choose",
    ),
    (C3, {"ppg.sda": 14}, "[ppg] sda", "GPIO 14 of this ESP32-C3 belongs to its flash", "choose one of"),
    (S3, {"buzzer.pin": 20}, "[buzzer] pin", "GPIO 20 is D+ of the USB port", '"gpio20: …"'),
    (C3, {"ppg.sda": 18}, "[ppg] sda", "GPIO 18 is D- of the USB port", '"gpio18: …"'),
    (DEV, {"ppg.sda": 3}, "[ppg] sda", "GPIO 3 is the console's input", '"gpio3: …"'),
    (S3, {"buzzer.pin": 43}, "[buzzer] pin", "GPIO 43 is the console's output", '"gpio43: …"'),
    (
        DEV,
        {"ecg": {**AD8232, "adc": 25}, "wifi": {}},
        "[ecg] adc",
        "GPIO 25 is on ADC2, which Wi-Fi needs",
        "32 to 39",
    ),
    (DEV, {"ecg": {**AD8232, "adc": 23}}, "[ecg] adc", "GPIO 23 has no converter", "choose one of 32 to 39"),
    (DEV, {"ppg.scl": None}, "[ppg] scl", "is missing", "the number of the GPIO"),
    (DEV, {"ecg.cs": True}, "[ecg] cs", "is True", "not the number of a GPIO"),
    (DEV, {"ecg.cs": -1}, "[ecg] cs", "is -1", "not the number of a GPIO"),
    (S3, {"cuff.feed": None}, "[cuff] feed", "a cuff has six pins of its own", "docs/cuff.md"),
    # what is accepted
    (
        DEV,
        {"wiring.accepted": []},
        "[button] pin",
        "GPIO 0 is read at a reset: high: starts from flash",
        '"gpio0: …"',
    ),
    (
        S3,
        {"wiring.accepted": ["gpio4: it does"]},
        "[wiring] accepted",
        "gpio4 is used for nothing",
        "take it out",
    ),
    (
        S3,
        {"wiring.accepted": ["gpio4"]},
        "[wiring] accepted",
        "'gpio4' is not of the form",
        "why it does no harm",
    ),
    (S3, {"wiring.accepted": "gpio4: x"}, "[wiring] accepted", "a list of texts", '"gpio5: why"'),
    # buses and parts
    (DEV, {"ecg.baud": 16_000_000}, "[ecg] baud", "max30003.py says that the part takes 12000000", "at most"),
    (DEV, {"ppg.freq": 1_000_000}, "[ppg] freq", "max30102.py says that the part takes 400000", "at most"),
    (
        DEV,
        {"parts.ecg": "mine", "ecg.baud": 50_000_000},
        "[ecg] baud",
        "the chip's spi has 40000000",
        "at most",
    ),
    (DEV, {"ppg.freq": 0}, "[ppg] freq", "is 0", "how many bits a second"),
    (DEV, {"ppg.freq": None}, "[ppg] freq", "is None", "how many bits a second"),
    (
        S3,
        {"parts.gauge": "max30102"},
        "[gauge]",
        "has the address 0x57 on bus 0, and so has [ppg]",
        "another bus",
    ),
    (S3, {"gauge.scl": 39}, "[gauge] scl", "is 39, but [ppg] is on i2c 0 as well", "has 9"),
    (S3, {"cuff.freq": 100_000}, "[cuff] freq", "is 100000, but [ppg] is on i2c 0 as well", "has 400000"),
    (C3, {"ecg.spi": 2}, "[ecg] spi", "is 2", "an ESP32-C3 has spi 1"),
    (C3, {"ppg.i2c": 1}, "[ppg] i2c", "is 1", "an ESP32-C3 has i2c 0"),
    (BRIDGE, {"bridge.uart": 0}, "[bridge] uart", "is 0", "beside the console's there is 1 or 2"),
    # power
    (S3, {"node.isolated": None}, "[node] isolated", "is missing on a board with a battery", "else false"),
    (C3, {"node.isolated": None}, "[node] isolated", "is missing on a board with a battery", "else false"),
    (S3, {"charger": None}, "[charger]", "the node has to see that it is charged", "give the pin"),
    (S3, {"charger.active_low": None}, "[charger] active_low", "is missing", "true if low means yes"),
    (S3, {"button.active_low": None}, "[button] active_low", "is missing", "true if low means yes"),
    # radios and memories
    (C3, {"wifi": {}, "ble": {}, "radio.at_once": 2}, "[radio] at_once", "two radios do not fit", "1"),
    (C3, {"wifi": {}, "ble": {}}, "[radio] at_once", "is missing on a board with [wifi] and [ble]", "1, or"),
    (C3, {"wifi": {}, "radio.at_once": 3}, "[radio] at_once", "is 3", "it is 1 or 2"),
    (C3, {"radio.at_once": 1}, "[radio]", "neither [wifi] nor [ble] is", "take it out"),
    (DEV, {"node.outbox_bytes": 30000}, "[node] outbox_bytes", "is 30000; the memory", "has room for 10240"),
    (DEV, {"wifi": {}}, "[node] outbox_bytes", "is 10240; beside a radio the memory", "has room for 8192"),
    (S3, {"node.outbox_bytes": 500_000}, "[node] outbox_bytes", "is 500000", "has room for 262144"),
    (C3, {"spool.max_kib": 2048}, "[spool] max_kib", "is 2048; beside builds and records", "KiB"),
    (C3, {"spool.max_kib": 1500, "update": {}}, "[spool] max_kib", "is 1500; beside", "1152 KiB"),
    (C3, {"spool.max_kib": 0}, "[spool] max_kib", "is 0", "without max_kib it takes what is free"),
    # lights
    (S3, {"led": {}}, "[led]", "lacks red, green, blue", "one light alone has pin"),
    (S3, {"led.blue": None}, "[led]", "lacks blue", "mixed of all three"),
    (S3, {"led.pin": 38}, "[led]", "has pin and red", "one of three red, green, blue"),
    (S3, {"led.amber": 38}, "[led] amber", "is not known", "[led] has pin, red, green, blue"),
    # kinds
    (DEV, {"ppg": {}}, "[ppg]", "names no bus", "i2c, spi or adc"),
    (DEV, {"ecg.spi": None}, "[ecg]", "names no bus", "i2c, spi or adc"),
    (S3, {"cuff.i2c": None}, "[cuff]", "names no bus", "i2c, spi or adc"),
    (DEV, {"ppg.spi": 1}, "[ppg]", "names spi and i2c", "take the other out"),
    (BRIDGE, {"ppg": {}}, "[ppg]", "names neither device (of SPI) nor bus", ""),
    (BRIDGE, {"ecg.device": "text"}, "[ecg] device", "is 'text'", "the number of a bus"),
    (BRIDGE, {"ppg.bus": []}, "[ppg] bus", "is []", "the number of a bus"),
    (BRIDGE, {"bridge.baud": "fast"}, "[bridge] baud", "is 'fast'", "bits a second"),
    (BRIDGE, {"bridge.uart": True}, "[bridge] uart", "is True", "the number of a UART"),
    (BRIDGE, {"bridge.attempts": 0}, "[bridge] attempts", "is 0", "1 to 100"),
    (DEV, {"ecg.spi": True}, "[ecg] spi", "is True", "the number of a bus"),
    (DEV, {"ecg.phase": 3}, "[ecg] phase", "is 3", "0 or 1"),
    (DEV, {"ecg.speed": 3}, "[ecg] speed", "is not known", "[ecg] has device, bus, spi"),
    (S3, {"wifi": "text"}, "wifi", "has to be a table", "[wifi]"),
    (
        S3,
        {"wifi": {"hostname": "Dad's flat"}},
        "[wifi] hostname",
        'is "Dad\'s flat"',
        "letters, digits and hyphens",
    ),
    (S3, {"ble": {"name": "A" * 21}}, "[ble] name", "is 'AAAA", "up to 20 letters"),
    (S3, {"update": {"slots": 3}}, "[update] slots", "is 3", "2, as many as there are"),
    (S3, {"update": {"makers": ["me"]}}, "[update] makers", "a list of public keys", "64 of 0 to 9"),
    (S3, {"spool": {"max_kb": 100}}, "[spool] max_kb", "is not known", "max_kib"),
    (S3, {"node.mains_hz": 55}, "[node] mains_hz", "is 55", "50 or 60"),
    (S3, {"led.active_low": "no"}, "[led] active_low", "is 'no'", "true or false"),
    (S3, {"title": 5}, "title", "is 5", "in one line"),
    (C3, {"wifi": {}, "radio.at_once": True}, "[radio] at_once", "is True", "it is 1 or 2"),
    # modules and images
    (S3, {"chip.flash_mib": 999999}, "[chip] flash_mib", "is 999999", "no module has more than 32"),
    (S3, {"chip.model": []}, "[chip] model", "is []", "known are"),
    (C3, {"chip.psram_mib": 2}, "[chip] psram_mib", "an ESP32-C3 has no PSRAM", "0"),
    (S3, {"chip.psram_mib": 8}, "[image] name", "only ESP32_GENERIC_S3-SPIRAM_OCT knows the 8 MiB", ""),
    (DEV, {"chip.psram_mib": 4}, "[image] name", "only ESP32_GENERIC-SPIRAM knows the 4 MiB", ""),
    (S3, {"image.offset": False}, "[image] offset", "is False", "it is 0x0"),
    # chip, image, wiring, link
    (S3, {"chip.model": "esp32s2"}, "[chip] model", "is 'esp32s2'", "known are esp32, esp32s3, esp32c3"),
    (S3, {"chip.flash_mib": 2}, "[chip] flash_mib", "is 2", "MicroPython alone takes 2 MiB"),
    (S3, {"chip.psram_mib": None}, "[chip] psram_mib", "is None", "without PSRAM has 0"),
    (S3, {"chip.flash": 8}, "[chip] flash", "is not known", "flash_mib"),
    (
        S3,
        {"image.name": "ESP32_GENERIC"},
        "[image] name",
        "is 'ESP32_GENERIC'",
        "begins with ESP32_GENERIC_S3",
    ),
    (S3, {"image.version": "1.23.0"}, "[image] version", "is '1.23.0'", "1.24 or newer"),
    (S3, {"image.url": "http://x/y.bin"}, "[image] url", "is 'http://x/y.bin'", "not https"),
    (S3, {"image.offset": 0x1000}, "[image] offset", "is 4096", "it is 0x0"),
    (S3, {"image.sha256": "ABC"}, "[image] sha256", "is no SHA-256", "leave it out"),
    (S3, {"image.md5": "0"}, "[image] md5", "is not known", "sha256"),
    (S3, {"wiring.module": None}, "[wiring] module", "is missing", "for the picture"),
    (S3, {"wiring.labels": {"D0": 99}}, "[wiring.labels] D0", "has no GPIO 99", ""),
    (S3, {"wiring.notes": {"led": 3}}, "[wiring] notes", "has to be a table", ""),
    (S3, {"wiring.colour": "red"}, "[wiring] colour", "is not known", "labels"),
    (S3, {"link.baud": 921600}, "[link] baud", "is 921600", "console has 115200"),
    (S3, {"button": 3}, "button", "has to be a table", "[button]"),
]


@pytest.mark.parametrize(
    ("name", "changed", "place", "wrong", "remedy"),
    BROKEN,
    ids=[f"{row[2]}-{n}" for n, row in enumerate(BROKEN)],
)
def test_a_rule_finds_what_breaks_it(
    name: str, changed: dict[str, Any], place: str, wrong: str, remedy: str
) -> None:
    board = described(name)
    for path, value in changed.items():
        put(board, path, value)
    found = [fault for fault in faults(board, DRIVERS) if fault.place == place]
    assert any(wrong in fault.text and remedy in fault.text for fault in found), faults(board, DRIVERS)


def test_each_case_breaks_a_rule_that_holds_without_it() -> None:
    for name in {row[0] for row in BROKEN}:
        assert faults(described(name), DRIVERS) == []


def test_an_image_is_needed() -> None:
    board = described(S3)
    board.image = {}
    assert [fault.place for fault in faults(board, DRIVERS)] == ["[image]"]


def test_a_pin_that_is_accepted_with_a_reason_is_one() -> None:
    board = described(DEV)
    put(board, "ppg.sda", 15)
    assert [fault.place for fault in faults(board, DRIVERS)] == ["[ppg] sda"]
    board.wiring["accepted"].append("gpio15: the sensor board pulls it up")
    assert faults(board, DRIVERS) == []


def test_an_adc2_pin_does_without_wifi() -> None:
    board = described(DEV)
    board.parts["ecg"] = "ad8232"
    board.settings["ecg"] = {**AD8232, "adc": 27}
    board.wiring["accepted"] = board.wiring["accepted"][:2]
    assert faults(board, DRIVERS) == []


def test_the_chips_are_consistent() -> None:
    for chip in CHIPS.values():
        known = chip.pins
        for some in (chip.flash, chip.quad, chip.octal, chip.adc1, chip.adc2, chip.input_only):
            assert some <= known
        for pins in (chip.strapping, chip.uart, chip.usb):
            assert set(pins) <= known and not set(pins) & chip.flash
        assert not chip.adc1 & chip.adc2


# The command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's boards, to be changed."""
    for room in ("boards", "drivers", "firmware", "protocol"):
        (tmp_path / room).symlink_to(build.ROOT / room)
    (tmp_path / "boards").unlink()
    for source in (build.ROOT / "boards").iterdir():
        target = tmp_path / "boards" / source.name
        target.parent.mkdir(exist_ok=True)
        if source.name != DEV:
            target.symlink_to(source)
    (tmp_path / "boards" / DEV).mkdir()
    for file in ("board.toml", "board.py"):
        (tmp_path / "boards" / DEV / file).write_text((build.ROOT / "boards" / DEV / file).read_text())
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return tmp_path


def test_check_names_file_line_key_and_remedy_and_ends_with_1(project: Path) -> None:
    path = project / "boards" / DEV / "board.toml"
    path.write_text(
        path.read_text().replace("scl = 22", "scl = 34").replace("freq = 400000", "freq = 800000")
    )
    done = CliRunner().invoke(command, ["check", DEV, BRIDGE])
    assert done.exit_code == 1
    lines = path.read_text().splitlines()
    scl, freq = lines.index("scl = 34") + 1, lines.index("freq = 800000") + 1
    assert f"boards/{DEV}/board.toml:{scl}: [ppg] scl: GPIO 34 of an ESP32 is an input only" in done.stderr
    assert f"boards/{DEV}/board.toml:{freq}: [ppg] freq: is 800000" in done.stderr
    assert done.stdout == f"{BRIDGE}: good\n"
    with pytest.raises(build.BuildError, match=r"\[ppg\] scl: GPIO 34"):
        build.make(DEV, "source")


@pytest.mark.parametrize(
    ("line", "other", "words"),
    [
        ('ecg = "max30003"', 'ecg = "max30009"', "there is no drivers/max30009.py"),
        ("scl = 22", "scll = 22", "nothing reads [ppg] scll; is it scl?"),
        ('ppg = "max30102"', 'ppg = "max30102"\ncuff = "mprls"', "a cuff needs hardware of its own"),
    ],
)
def test_check_finds_what_a_build_would(project: Path, line: str, other: str, words: str) -> None:
    path = project / "boards" / DEV / "board.toml"
    assert path.read_text().count(line) == 1
    path.write_text(path.read_text().replace(line, other))
    done = CliRunner().invoke(command, ["check", DEV])
    assert done.exit_code == 1 and words in done.stderr


def test_list_and_show(tmp_path: Path) -> None:
    listed = CliRunner().invoke(command, ["list"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == BOARDS
    shown = CliRunner().invoke(command, ["show", S3]).stdout
    assert "| MAX30003: ECG | SCLK | GPIO 12 | SPI 1, 4 MHz |" in shown
    drawn = tmp_path / "wiring.svg"
    assert CliRunner().invoke(command, ["show", S3, "--svg", str(drawn)]).exit_code == 0
    assert drawn.read_text().startswith("<svg ")
    for arguments, words in (
        (["show", "nope"], "no board 'nope'; there are:"),
        (["show", "virtual", "--svg", str(drawn)], "exists only in software"),
        (["show", S3, "--svg", str(tmp_path / "no" / "x.svg")], "cannot write"),
    ):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 1 and words in done.stderr
