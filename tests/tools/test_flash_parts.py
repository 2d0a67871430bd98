"""The parts of `vitalwire flash` that need no board: images, ports, labels, the kit file, the report."""

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from edge_agent import lock
from tests.tools.flash_kit import KEYS, image, tiny_build
from tools import build
from tools.flash import built, kit, node, ports, report
from tools.flash import image as images
from tools.flash.node import Keys, Line
from tools.flash.report import Outcome
from tools.flash.trouble import Trouble


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# The image


class Site:
    """A web server on loopback: `data` is what it gives, `asked` how often it was asked."""

    def __init__(self) -> None:
        self.data = b""
        self.asked = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(site.data)))
                self.end_headers()
                self.wfile.write(site.data)

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/ESP32.bin"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("VITALWIRE_CACHE", str(tmp_path / "cache"))
    made = Site()
    yield made
    made.close()


def test_a_pinned_image_is_fetched_once_and_checked_each_time(site: Site) -> None:
    site.data = image()
    pinned = {"url": site.url, "sha256": sha256(site.data), "offset": 0}
    seen: list[tuple[int, int]] = []
    first = images.load(pinned, progress=lambda done, of: seen.append((done, of)))
    assert (first.data, first.offset, first.sha256) == (site.data, 0, pinned["sha256"])
    assert seen[-1] == (len(site.data), len(site.data))
    assert images.load(pinned).data == site.data
    assert site.asked == 1
    (kept,) = images.cache_folder().glob("*.bin")
    kept.write_bytes(b"\xe9 damaged")
    assert images.load(pinned).data == site.data
    assert site.asked == 2


def test_an_address_without_a_hash_is_refused_with_the_command_that_gives_one(site: Site) -> None:
    for pinned, given in (
        ({"url": site.url}, None),
        ({}, site.url),
        ({"url": "x", "sha256": "0" * 64}, site.url),
    ):
        with pytest.raises(Trouble, match=rf"curl -fsSL {site.url} \| sha256sum"):
            images.load(pinned, given)
    assert site.asked == 0


def test_what_is_not_the_pinned_file(site: Site, tmp_path: Path) -> None:
    site.data = image()
    with pytest.raises(Trouble, match="wrong checksum"):
        images.load({"url": site.url, "sha256": "0" * 64})
    file = tmp_path / "image.bin"
    file.write_bytes(site.data)
    with pytest.raises(Trouble, match="wrong checksum"):
        images.load({}, str(file), "0" * 64)
    with pytest.raises(Trouble, match="is no SHA-256"):
        images.load({}, str(file), "beef")
    file.write_bytes(b"<html>")
    with pytest.raises(Trouble, match="does not begin with 0xE9"):
        images.load({}, str(file))
    with pytest.raises(Trouble, match="No such file"):
        images.load({}, str(tmp_path / "absent"))
    with pytest.raises(Trouble, match="names no MicroPython image"):
        images.load({})
    with pytest.raises(Trouble, match="no address of the web"):
        images.load({}, "ftp://here/image.bin", "0" * 64)


def test_a_file_needs_no_hash_but_is_held_against_one_that_is_given(tmp_path: Path) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(image())
    own = {"url": "https://elsewhere/", "sha256": "0" * 64, "offset": 4096}
    assert images.load(own, str(file)).offset == 4096
    assert images.load({}, str(file), sha256(file.read_bytes()).upper()).offset is None


def test_nobody_answers(site: Site) -> None:
    url = site.url
    site.close()
    with pytest.raises(Trouble, match="see whether this computer is online"):
        images.load({"url": url, "sha256": "0" * 64})
    site.close = lambda: None  # type: ignore[method-assign]


# Ports


def port(device: str, vid: int | None, pid: int | None, description: str = "") -> ListPortInfo:
    found = ListPortInfo(device)
    found.vid, found.pid, found.description = vid, pid, description
    return found


def test_boards_by_their_usb_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [
        port("/dev/ttyUSB0", 0x10C4, 0xEA60),
        port("/dev/ttyACM0", 0x303A, 0x1001),
        port("/dev/ttyUSB9", 0x1234, 0x5678, "A scanner"),
        port("/dev/ttyS0", None, None),
    ]
    monkeypatch.setattr(ports.list_ports, "comports", lambda: there)
    boards, others = ports.find()
    assert boards == [("/dev/ttyACM0", "Espressif USB"), ("/dev/ttyUSB0", "CP210x")]
    assert others == [
        ("/dev/ttyS0", "not on USB"),
        ("/dev/ttyUSB9", "no board's USB chip: 1234:5678, A scanner"),
    ]


ROM, PYTHON = ("dc:54:75:c1:b0:8E", 0x1001), ("dc5475c1b08e3ffc", 0x4001)


@pytest.mark.parametrize(("before", "after"), [(ROM, PYTHON), (PYTHON, ROM)], ids=["python", "rom"])
def test_a_port_of_the_chips_own_usb_is_found_under_another_name(
    before: tuple[str, int], after: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    now_on = os.ttyname(slave)
    gone = str(tmp_path / "ttyACM0")
    there = [port(gone, 0x303A, before[1]), port("/dev/ttyUSB0", 0x10C4, 0xEA60)]
    there[0].serial_number, there[1].serial_number = before[0], "0001"
    monkeypatch.setattr(ports.list_ports, "comports", lambda: there)
    chip = ports.chip_of(gone)
    assert chip == "dc5475c1b08e" and ports.chip_of("/dev/ttyUSB0") == ports.chip_of(now_on) == ""
    another = port(gone, 0x303A, 0x1001)
    another.serial_number = "DC:54:75:C1:B0:8F"
    there[0] = another
    there.append(port(now_on, 0x303A, after[1]))
    there[2].serial_number = after[0]
    try:
        assert ports.wait_for(gone, chip) == now_on
        there.pop()
        monkeypatch.setattr(ports, "AGAIN_S", 0.0)
        with pytest.raises(Trouble, match=f"chip {chip} did not come back .* --port"):
            ports.wait_for(gone, chip)
    finally:
        os.close(master)
        os.close(slave)


def test_a_ports_other_name_is_said() -> None:
    outcome = Outcome("/dev/ttyACM0", why="", now_on="/dev/ttyACM1")
    assert "  its port is called /dev/ttyACM1 now" in list(report.told(outcome))


class WrittenDown:
    """A port whose lines are written down; one without any refuses."""

    def __init__(self, port: str = "/dev/ttyUSB0", refuse: bool = False) -> None:
        self.port = port
        self.set: list[tuple[str, bool]] = []
        self._refuse = refuse

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("dtr", "rts"):
            if self._refuse:
                raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
            self.set.append((name, bool(value)))
        else:
            object.__setattr__(self, name, value)


def test_reset_is_a_pulse_on_rts_with_boot_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "HOLD_S", 0.0)
    line = WrittenDown()
    assert ports.press_reset(line)
    assert line.set == [("dtr", False), ("rts", True), ("rts", False)]
    assert not ports.press_reset(WrittenDown(refuse=True))
    assert not ports.press_reset(WrittenDown("socket://localhost:1"))


# The kit file


def test_nodes_from_many_threads_are_all_in_the_kit_file(tmp_path: Path) -> None:
    place = tmp_path / "kits" / "kit.json"

    def add(n: int) -> None:
        kit.add(
            place, Keys(bytes([n]) * 32, bytes([n]) * 32), "virtual", "0.1.0", "2026-01-01T00:00:00+00:00"
        )

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    add(3)
    nodes = kit.read(place)
    assert len(nodes) == 8
    assert nodes[-1]["ed25519"] == "03" * 32
    assert nodes[-1]["id"] == Keys(b"\3" * 32, b"\3" * 32).id


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "nodes": []}', '{"version": 1, "nodes": {}}'])
def test_another_file_is_not_taken_for_a_kit_file(tmp_path: Path, text: str) -> None:
    place = tmp_path / "kit.json"
    place.write_text(text)
    with pytest.raises(Trouble):
        kit.add(place, KEYS, "virtual", "0.1.0", "")
    assert place.read_text() == text


def test_a_kit_file_that_another_program_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "WAIT_S", 0.05)
    with lock.hold(tmp_path / ".kit.json.lock"), pytest.raises(Trouble, match="another program"):
        kit.add(tmp_path / "kit.json", KEYS, "virtual", "0.1.0", "")


# What the board says


class Told:
    """A prompt that prints what is given."""

    def __init__(self, *printed: str) -> None:
        self._printed = list(printed)

    def run(self, code: str, seconds: float = 0.0) -> str:
        return self._printed.pop(0)


def test_what_else_a_board_prints_is_passed_over() -> None:
    text = 'vitalwire: no answer from the bus bridge\n["ram", 5, "bytes", ""]\n[1]\n{"a": 1}\n7\n'
    lines, keys = node.self_test(Told(text), tiny_build())  # type: ignore[arg-type]
    assert lines == [Line("ram", 5, "bytes", "")]
    assert keys is None


@pytest.mark.parametrize("ppm", [0, 20_000, -20_000])
def test_a_clock_that_is_off(monkeypatch: pytest.MonkeyPatch, ppm: int) -> None:
    now = 1000.0

    def look(code: str, seconds: float = 0.0) -> str:
        nonlocal now
        now += 0.002
        ticks = (node.TICKS_PERIOD - 5000 + int((now - 1000) * 1000 * (1 + ppm / 1e6))) % node.TICKS_PERIOD
        now += 0.002
        return f"{ticks}\n"

    monkeypatch.setattr(node.time, "monotonic", lambda: now)
    prompt = Told()
    prompt.run = look  # type: ignore[method-assign]
    clock = node.Clock(prompt)  # type: ignore[arg-type]
    now += 30
    line = clock.line()
    assert bool(line.why) == bool(ppm)
    assert line.unit == "ppm"
    assert int(str(line.found).split(" ")[0]) == pytest.approx(ppm, abs=200)


def test_a_tree_with_slots_is_tested_in_the_first() -> None:
    made = build.Build("x", "mpy", "1", {"slot_a/board_config.py": b"", "main.py": b""})
    assert node.folder_of(made) == "slot_a"
    assert node.folder_of(tiny_build()) == ""
    assert json.loads(tiny_build().files["manifest.json"])["version"] == "1.2.3"


# A build that was written before


def test_a_tree_is_read_back_whole(tmp_path: Path) -> None:
    made = tiny_build()
    build.write(made, tmp_path / "tree")
    found = built.read(tmp_path / "tree")
    assert (found.board, found.format, found.version, found.files) == (
        "virtual",
        "source",
        "1.2.3",
        made.files,
    )
    (tmp_path / "tree" / "main.py").write_bytes(b"run()\n")
    with pytest.raises(Trouble, match=r"main\.py is not the file that was built"):
        built.read(tmp_path / "tree")
    (tmp_path / "tree" / "main.py").unlink()
    with pytest.raises(Trouble, match="No such file"):
        built.read(tmp_path / "tree")
    (tmp_path / "tree" / build.MANIFEST).write_text("[]")
    with pytest.raises(Trouble, match="is no manifest of a build"):
        built.read(tmp_path / "tree")
