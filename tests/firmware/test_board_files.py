"""A board.toml with something wrong in it: a build says in which file, which key, and what it may be."""

import shutil

import pytest

from tools import board_settings, build

BUILD = '[build]\nformat = "source"\n'
DEMO = f'name = "demo"\n{BUILD}'
CUFF = "[cuff]\nsecond_release = true\npressure_switch = true\nmonostable_ms = 400\n"


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A project with these drivers and one board; the path of its board.toml."""
    shutil.copytree(build.ROOT / "drivers", tmp_path / "drivers")
    folder = tmp_path / "boards" / "demo"
    folder.mkdir(parents=True)
    (folder / "board.py").write_text("class Board:\n    def timer(self):\n        pass\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return folder / "board.toml"


def refused(demo, text) -> str:
    demo.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(build.BuildError) as caught:
        build.read_board("demo")
    assert str(caught.value).startswith("boards/demo/board.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("egc = 'max30003'", "[parts] has no role 'egc'; it has ecg, ppg, cuff, gauge"),
        ("ecg = max30003", "; a text stands in quotes"),
        ("ecg = 30003", "ecg is 30003, and not the name of a file in drivers/, without .py"),
        ("ecg = ['max30003']", "and not the name of a file in drivers/"),
        ("ecg = 'max30003.py'", "and not the name of a file in drivers/, without .py"),
        ("ecg = '../firmware/app'", "and not the name of a file in drivers/"),
        ("ecg = 'MAX30003'", "there is no drivers/MAX30003.py; there are: ad8232, cuff_actuator"),
        ("ecg = 'errors'", "drivers/errors.py has no class Errors"),
        ("ecg = 'max30003'\necg = 'ad8232'", "Cannot overwrite a value"),
        ("ecg = 'max30102'", "Max30102 is no driver for that: it has no full_scale, stop"),
        ("ppg = 'max30003'", "Max30003 is no driver for that: it has no set_led, ambient"),
        ("gauge = 'mprls'", "Mprls is no driver for that: it has no cell_mv, charge_pct"),
        ("cuff = 'cuff_actuator'", "CuffActuator is no driver for that: it has no part"),
        ("cuff = 'mprls'", "[cuff] lacks second_release, pressure_switch, monostable_ms, from 1 to 400"),
        (f"cuff = 'mprls'\n{CUFF}".replace("400", "'400'"), "[cuff] lacks monostable_ms, from 1 to 400"),
        (f"cuff = 'mprls'\n{CUFF}".replace("400", "true"), "[cuff] lacks monostable_ms, from 1 to 400"),
        (f"cuff = 'mprls'\n{CUFF}", "its class Board has no cuff()"),
    ],
)
def test_a_part_that_is_none(demo, parts, words):
    assert words in refused(demo, f"{DEMO}[parts]\n{parts}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DEMO.replace("[build]\n", "build = 1\n"), "build has to be a table: [build]"),
        (f"parts = 'max30003'\n{DEMO}", "parts has to be a table: [parts]"),
        (f"{DEMO}board_modules = 'boards.esp32'\n", "board_modules has to be a list of modules"),
        (f"{DEMO}board_modules = [7]\n", "board_modules has to be a list of modules"),
        (f"{DEMO}first = ['os; import sys']\n", "first has to be a list of modules"),
        (DEMO.encode() + b"# caf\xe9\n", "is no text in UTF-8: invalid continuation byte at byte"),
        (f"cuff = 3\n{DEMO}[parts]\ncuff = 'mprls'\n", "cuff has to be a table: [cuff]"),
    ],
)
def test_a_file_that_is_none(demo, text, words):
    assert words in refused(demo, text)


def test_a_driver_may_inherit_what_it_has(demo):
    (demo.parents[2] / "drivers" / "max30101_like.py").write_text(
        "from drivers.max30102 import Max30102\n\n\nclass Max30101Like(Max30102):\n    part = 'MAX30101'\n"
    )
    demo.write_text(f"{DEMO}[parts]\nppg = 'max30101_like'\n")
    assert build.read_board("demo").parts == {"ppg": "max30101_like"}


def test_a_sensor_of_another_rate_is_refused(demo):
    driver = demo.parents[2] / "drivers" / "max30003.py"
    driver.write_text(
        driver.read_text().replace("PERIOD_NS = const(4_000_000)", "PERIOD_NS = const(2_000_000)")
    )
    words = "ecg is 'max30003', whose period_ns is 2000000: it has to be 4000000"
    assert words in refused(demo, f"{DEMO}[parts]\necg = 'max30003'\n")


CODE = {
    "boards/demo/board.py": "def bus(config):\n    return config['ppg']['scl'], config['link']['baud']\n",
    "firmware/app.py": "def app(to):\n    return to.config['node']['mains_hz'], 'outbox_bytes', 'size'\n",
}
RIGHT = {"name": "demo", "link": {"baud": 115200}, "ppg": {"scl": 22}, "node": {"mains_hz": 50}}


def test_what_the_code_reads_is_right():
    board_settings.check(RIGHT, ["ppg"], CODE)
    # What is read of a part is missed only where there is that part.
    reader = {"x.py": "def bus(config):\n    return config['gauge']['bus']\n"}
    board_settings.check(RIGHT, ["ppg"], {**CODE, **reader})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ppg": {"slc": 22}}, r"nothing reads \[ppg\] slc; is it scl\?"),
        ({"nodes": {}}, r"nothing reads nodes; is it node\?"),
        ({"ppg": None}, r"there is no \[ppg\], the table with the wiring of that part"),
        ({"ppg": 22}, r"ppg has to be a table: \[ppg\]"),
        ({"ppg": {"scl": "22"}}, r"\[ppg\] scl is '22': without the quotes"),
        ({"node": {"mains_hz": "50"}}, r"\[node\] mains_hz is '50': without the quotes"),
        ({"node": {"mains_hz": 55}}, r"\[node\] mains_hz has to be 50 or 60"),
        ({"node": {"mains_hz": 50, "outbox_bytes": 0}}, r"\[node\] outbox_bytes has to be 4096 or more"),
        ({"node": {"mains_hz": 50, "watchdog": 1}}, r"\[node\] watchdog has to be true or false"),
        ({"node": {}}, r"\[node\] has no mains_hz, which firmware/app.py:2 reads"),
        ({"link": None}, r"there is no \[link\], which boards/demo/board.py:2 reads"),
        ({"link": {}}, r"\[link\] has no baud, which boards/demo/board.py:2 reads"),
        ({"cuff": {"size": 9}}, r"\[cuff\] size has to be from 0"),
        ({"title": float("inf")}, r"title is inf, which no board takes"),
    ],
)
def test_a_setting_that_no_code_reads_or_takes(changed, words):
    settings = {key: value for key, value in {**RIGHT, **changed}.items() if value is not None}
    with pytest.raises(board_settings.BadSetting, match=words):
        board_settings.check(settings, ["ppg"], CODE)


def test_what_a_board_says_arrives_as_it_was_said():
    said = {
        "title": "a true 'node', \u00e9 \U0001f600 null",
        "x": {"on": True, "off": False, "list": [[1, 2]], "none": {}},
    }
    assert eval(board_settings.literal(said)) == said


def test_a_build_looks_at_the_settings(monkeypatch):
    read = build.read_board

    def wrong(name):
        board = read(name)
        board.settings["node"]["mains_hertz"] = 50
        return board

    monkeypatch.setattr(build, "read_board", wrong)
    with pytest.raises(
        build.BuildError, match=r"^boards/esp32_devkit/board.toml:\d+: nothing reads \[node\] mains_hertz"
    ):
        build.make("esp32_devkit", "source")
