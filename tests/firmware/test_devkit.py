"""The development board's first strong seed: radio on once, then a reset that gives its memory back."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIMS = Path(__file__).parent / "devkit_shims"
EXIT_RESET = 64


def boot(vm: str, folder: Path, radio: str = "") -> tuple[int, list[str]]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [vm, str(SHIMS / "first_boot.py"), str(folder)],
        env=dict(os.environ, MICROPYPATH=f"{SHIMS}:{ROOT}:.frozen", RADIO=radio),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_the_radio_is_on_once_and_a_reset_gives_its_memory_back(vm, tmp_path):
    assert boot(vm, tmp_path / "flash") == (EXIT_RESET, ["radio True", "radio False"])
    for _ in range(2):
        assert boot(vm, tmp_path / "flash") == (0, ["strong"])


def test_without_a_radio_the_seed_is_weak_and_the_next_boot_tries_again(vm, tmp_path):
    for _ in range(2):
        assert boot(vm, tmp_path / "flash", "dead") == (0, ["weak"])
    assert boot(vm, tmp_path / "flash")[0] == EXIT_RESET
    assert boot(vm, tmp_path / "flash", "dead") == (0, ["strong"])


def test_flash_that_keeps_no_seed_does_not_end_in_resets_without_end(vm, tmp_path):
    (tmp_path / "flash").write_text("no folder")
    folder = tmp_path / "flash" / "below"
    done = subprocess.run(
        [vm, str(SHIMS / "first_boot.py"), str(folder)],
        env=dict(os.environ, MICROPYPATH=f"{SHIMS}:{ROOT}:.frozen"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.splitlines() == ["radio True", "radio False", "strong"]


def said(vm: str, shim: str, *arguments: str) -> list[str]:
    """What a script of the shims prints."""
    done = subprocess.run(
        [vm, str(SHIMS / shim), *arguments],
        env=dict(os.environ, MICROPYPATH=f"{SHIMS}:{ROOT}:.frozen"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


# By the number of the light: red, green, blue.
COLOURS = ("000", "100", "110", "011", "010", "001", "101", "111")


def test_without_a_light_nothing_is_shown(vm):
    assert said(vm, "lights.py") == ["0", *(f"{light} []" for light in range(8))]


def test_one_light_is_on_in_every_colour_and_the_buzzer_by_itself(vm):
    for low in (False, True):
        lines = said(vm, "lights.py", f'{{"pin": 2, "active_low": {str(low).lower()}}}')
        assert lines[0] == "1"
        for light, line in enumerate(lines[1:]):
            assert line == f"{light} [(2, {int((light > 0) != low)}), (7, {light & 1})]"


def test_three_lights_mix_the_colours(vm):
    for low in ("", ', "active_low": true'):
        lines = said(vm, "lights.py", f'{{"red": 4, "green": 5, "blue": 6{low}}}')
        assert lines[0] == "3"
        for light, line in enumerate(lines[1:]):
            lit = [int(bit) ^ bool(low) for bit in COLOURS[light]]
            assert line == f"{light} {[(4, lit[0]), (5, lit[1]), (6, lit[2]), (7, light & 1)]}"


def test_parts_on_one_bus_share_it_and_button_and_charger_are_read_by_their_level(vm):
    assert said(vm, "kit.py") == ["True", "[15, 16, 17, 18, 21, 1]", "False False", "True True"]


def test_a_fault_is_told_in_a_file_and_never_on_the_console_which_is_the_link(vm, tmp_path):
    def left(how: str) -> int:
        done = subprocess.run(
            [vm, str(SHIMS / "leave.py"), how],
            env=dict(os.environ, MICROPYPATH=f"{SHIMS}:{ROOT}:.frozen"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("", "")
        return done.returncode

    fault = tmp_path / "fault.txt"
    assert left("stop") == 0 and not fault.exists()
    assert left("fault") == EXIT_RESET
    assert "leave.py" in fault.read_text() and "ValueError: no such pin" in fault.read_text()
    fault.unlink()
    fault.mkdir()
    assert left("fault") == EXIT_RESET, "what cannot be written holds up nothing"


def test_a_bus_is_made_once_of_the_pins_that_a_part_s_table_names(vm):
    assert said(vm, "buses.py") == ["2 True", "3 True", "6 True", "1", "timers"]
