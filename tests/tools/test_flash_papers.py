"""What remains of a board that was flashed: its label, and its row in the report."""

import base64
import csv
import json
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from edge_agent.nodes.pairing_label import qr_text
from protocol.identity import fingerprint_text
from tests.tools.flash_kit import KEYS
from tools.flash import label, report
from tools.flash.node import Keys, Line
from tools.flash.report import Outcome
from tools.flash.trouble import Trouble


def one_label(n: int = 0) -> label.Label:
    keys = Keys(bytes([n]) * 32, KEYS.x25519)
    title = "Home kit: ESP32-S3 with MAX30003, MAX30102, MPRLS cuff and MAX17048"
    return label.Label("esp32_s3_kit", title, "0.1.0", keys.id, keys.fingerprint)


def test_a_scanner_reads_the_fingerprint_and_nothing_else(tmp_path: Path) -> None:
    one = one_label()
    (place,) = label.save([one], tmp_path / "label.png")
    with Image.open(place) as picture:
        (found,) = zxingcpp.read_barcodes(picture.convert("L"))
        assert picture.width / picture.info["dpi"][0] * 25.4 == pytest.approx(label.WIDTH_MM, abs=0.2)
    assert found.text == qr_text(one.fingerprint)
    head, _, text = found.text.partition(":")
    assert head == "VW1"
    assert base64.b32decode(text + "====") == one.fingerprint
    assert len(found.text) == 56


def test_the_code_is_in_alphanumeric_mode() -> None:
    import segno

    made = segno.make(qr_text(one_label().fingerprint), error="m", micro=False)
    assert made.mode == "alphanumeric"
    assert made.version == 3


def test_a_page_or_a_picture_for_each_node(tmp_path: Path) -> None:
    three = [one_label(n) for n in range(3)]
    places = label.save(three, tmp_path / "kits.png")
    assert [place.name for place in places] == [f"kits-{one.id}.png" for one in three]
    for place, one in zip(places, three, strict=True):
        with Image.open(place) as picture:
            (found,) = zxingcpp.read_barcodes(picture.convert("L"))
        assert found.text == qr_text(one.fingerprint)
    (document,) = label.save(three, tmp_path / "kits.pdf")
    assert b"/Count 3" in document.read_bytes()
    with pytest.raises(Trouble, match=r"neither \.png nor \.pdf"):
        label.save(three, tmp_path / "kits.gif")


def test_people_read_the_first_half_of_the_fingerprint() -> None:
    shown = fingerprint_text(one_label().fingerprint)
    assert len(shown.split(" ")) == 8


def test_no_cell_of_the_report_is_a_formula_and_no_line_moves_a_cursor(tmp_path: Path) -> None:
    said = [Line("ecg", '=HYPERLINK("http://x")', "", "\x1b[2J@nobody\nok")]
    outcomes = [
        Outcome(port, firmware="=1+1", lines=said, why=why)
        for port, why in (("=cmd|'/c calc'!A0", "-1\r\nnext"), ("@port", "+1"))
    ]
    report.write(outcomes, tmp_path / "report.csv")
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3 and not any(cell.startswith(report.FORMULA) for row in rows for cell in row)
    assert rows[1][0] == "'=cmd|'/c calc'!A0" and json.loads(rows[1][-1])[0]["found"] == said[0].found
    assert all(line.isprintable() for one in outcomes for line in report.told(one))


def test_a_label_of_a_board_with_a_long_or_foreign_title_is_read(tmp_path: Path) -> None:
    for n, title in enumerate(("x" * 300, "家用套件 " * 40, "\u202e\x00", "")):
        one = one_label(n)._replace(title=title, board="b" * 200)
        (place,) = label.save([one], tmp_path / f"{n}.png")
        with Image.open(place) as picture:
            assert picture.size == label.draw(one).size
            (found,) = zxingcpp.read_barcodes(picture.convert("L"))
        assert found.text == qr_text(one.fingerprint)


def test_a_place_that_is_full_or_is_not_says_so(tmp_path: Path) -> None:
    # A device that takes no byte.
    (tmp_path / "full.pdf").symlink_to("/dev/full")
    for place in (tmp_path / "full.pdf", tmp_path / "kit.json" / "label.png"):
        (tmp_path / "kit.json").write_text("{}")
        with pytest.raises(Trouble, match=r"no label can be written .* name another --label"):
            label.save([one_label()], place)
    with pytest.raises(Trouble, match=r"no report can be written .* name another --report"):
        report.write([], tmp_path / "kit.json" / "report.csv")
