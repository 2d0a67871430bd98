"""A node's label: a picture for a label printer, which holds nothing secret.

Its QR code says `VW1:` and the fingerprint of the node's public keys, all 32 bytes in base32 without padding:
characters of a QR code's alphanumeric mode, which need fewest modules. Beside it stand the first 16 bytes as
people read them to each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import segno
from PIL import Image, ImageDraw, ImageFont

from edge_agent.nodes.pairing_label import qr_text
from protocol.identity import fingerprint_text
from tools.flash.trouble import Trouble

DPI = 300
WIDTH_MM, HEIGHT_MM, MARGIN_MM = 62, 29, 2
QR_MM = 25
FORMATS = (".png", ".pdf")
WHITE = 1


class Label(NamedTuple):
    """What stands on it."""

    board: str
    title: str
    version: str
    id: str
    fingerprint: bytes


def draw(label: Label) -> Image.Image:
    """The label, black and white, at 300 dpi."""
    picture = Image.new("1", (_dots(WIDTH_MM), _dots(HEIGHT_MM)), WHITE)
    margin = _dots(MARGIN_MM)
    picture.paste(_qr(qr_text(label.fingerprint)), (margin, margin))
    pen: Any = ImageDraw.Draw(picture)
    left = margin + _dots(QR_MM) + margin
    room = picture.width - left - margin
    words = fingerprint_text(label.fingerprint).split(" ")
    rows = [
        (3.6, "Vitalwire"),
        (2.6, label.title.partition(":")[0]),
        (2.4, f"{label.board}  {label.version}"),
        (2.8, f"id {label.id}"),
        (2.8, " ".join(words[:4])),
        (2.8, " ".join(words[4:])),
    ]
    at = margin
    for size_mm, text in rows:
        font, text = _fitting(pen, text, _dots(size_mm), room)
        pen.text((left, at), text, fill=0, font=font)
        at += _dots(size_mm * 1.45)
    return picture


def save(labels: Sequence[Label], path: Path) -> list[Path]:
    """Write the labels: a PDF with a page for each, or a PNG for each, named after the node when there are
    several. The files written. Trouble when there can be none."""
    if path.suffix.lower() not in FORMATS:
        raise Trouble(f"{path} is neither .png nor .pdf", "name the label's file so")
    pictures = [draw(label) for label in labels]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".pdf":
            pictures[0].save(path, resolution=DPI, save_all=True, append_images=pictures[1:])
            return [path]
        several = len(labels) > 1
        places = [path.with_stem(f"{path.stem}-{label.id}") if several else path for label in labels]
        for picture, place in zip(pictures, places, strict=True):
            picture.save(place, dpi=(DPI, DPI))
        return places
    except OSError as e:
        raise Trouble(f"no label can be written to {path}: {e.strerror or e}", "name another --label") from e


def _qr(text: str) -> Image.Image:
    """With the quiet zone that the standard wants, in whole dots a module."""
    made = segno.make(text, error="m", mode="alphanumeric", boost_error=False, micro=False)
    side = int(made.symbol_size()[0])
    scale = max(_dots(QR_MM) // side, 1)
    picture = Image.new("1", (side, side), WHITE)
    picture.putdata([WHITE - bit for row in made.matrix_iter(border=4) for bit in row])
    return picture.resize((side * scale, side * scale), Image.Resampling.NEAREST)


def _fitting(pen: Any, text: str, size: int, room: int) -> tuple[Any, str]:
    """The font, and as much of the text as there is room for."""
    font = ImageFont.load_default(size)
    while text and pen.textlength(text, font=font) > room:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return font, text


def _dots(mm: float) -> int:
    return int(mm / 25.4 * DPI + 0.5)
