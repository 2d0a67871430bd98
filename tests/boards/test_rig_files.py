"""A rig's description: what it lacks is said by file and key."""

from pathlib import Path

import pytest

from hil_tests import rig_file

RIGHT = 'name = "x"\nboard = "virtual"\n[patient]\nhr_bpm = 72.0\nspo2_pct = 97\n[node]\nboot_s = 60.0\n'


def test_the_virtual_one_and_one_s_own(tmp_path: Path) -> None:
    assert rig_file.load("virtual").virtual
    own = tmp_path / "own.toml"
    own.write_text(RIGHT.replace('"virtual"', '"esp32_devkit"'))
    assert rig_file.load(str(own)) == rig_file.RigFile("x", "esp32_devkit", 72.0, 97, 60.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"No such file.*; there are: virtual"),
        (RIGHT.replace("hr_bpm", "hr_bmp"), r"patient.hr_bpm has to be a number, not None"),
        (RIGHT.replace("60.0", "'60'"), r"node.boot_s has to be a number, not '60'"),
        (RIGHT.replace('"virtual"', "7"), r"board has to be a text, not 7"),
        (RIGHT.replace("[patient]", "[patient"), r"own.toml: "),
        (RIGHT + "[bench]\nport = 3\n", r"bench.port has to be a text, not 3"),
        (RIGHT + "[hands]\nhold = ''\n", r"hands.hold has to be a command, as a text, not ''"),
        (RIGHT + '[hands]\nhold = ["x"]\n', r"hands.hold has to be a command, as a text, not \['x'\]"),
        (RIGHT + '[hands]\nhold = "say \'x"\n', r"hands.hold has to be a command"),
        (RIGHT + "[hands]\nhold = 'x'\n", r"hands.hold and hands.release have to be there both, or neither"),
        (RIGHT + "[hands]\npower_of = 'x'\n", r"no key hands.power_of; is it hands.power_off\?"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str | None, words: str) -> None:
    own = tmp_path / "own.toml"
    if text is not None:
        own.write_text(text)
    with pytest.raises(rig_file.BadRig, match=words):
        rig_file.load(str(own))


def test_a_bench_and_its_hands(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    more = '[bench]\nport = "/dev/ttyUSB0"\n[hands]\nhold = "relay \'3 b\' on"\nrelease = "relay off"\n'
    own.write_text(RIGHT + more + '[wifi]\npassword = "correct horse"\n')
    rig = rig_file.load(str(own))
    assert not rig.virtual and rig.port == "/dev/ttyUSB0"
    assert rig.hands == {"hold": ("relay", "3 b", "on"), "release": ("relay", "off")}
    assert not rig.has("spool") and "correct horse" not in repr(rig)
