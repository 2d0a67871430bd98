"""A board's wiring as a picture: docs/boards/NAME.svg.

The module in the middle with the pins that are used, by name and not by place; sensors on its right, all else
on its left. A wire goes straight across; one that parts share goes on to the others, with a dot where it
branches. Supply is written at the part instead of drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tools.boards.blocks import AIR, WIRE_COLOURS, Block, Pin, blocks, label
from tools.boards.check import Described

MARGIN = 20
TITLE = 34
BLOCK_WIDTH = 224
GAP = 110
MODULE_WIDTH = 230
HEAD = 42
ROW = 24
FOOT = 24
BETWEEN = 18
BRANCH = 26
LEGEND = {
    "spi": "SPI",
    "i2c": "I²C",
    "adc": "analog",
    AIR: "cuff's air",
    "led": "light",
    "other": "other",
}
STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;font-size:13px;fill:#1f2328}"
    ".t{font-weight:bold}.n{font-size:11px;fill:#57606a}.h{font-size:16px;font-weight:bold}"
    ".e{text-anchor:end}.m{text-anchor:middle}"
)


@dataclass
class Placed:
    """A block with its upper edge; its pins' heights follow."""

    block: Block
    top: int

    @property
    def height(self) -> int:
        """From edge to edge."""
        return HEAD + ROW * len(self.block.pins) + (FOOT if self.block.supply else 8)

    def at(self, i: int) -> int:
        """The height of pin `i`."""
        return self.top + HEAD + ROW * i + ROW // 2


def svg(board: Described, drivers: Path) -> str:
    """The picture of `board`."""
    made = blocks(board, drivers)
    sensors = [block for block in made if block.kind in ("spi", "i2c", "adc")]
    left = _placed([block for block in made if block not in sensors])
    right = _placed(sensors)
    bottom = max(placed.top + placed.height for placed in [*left, *right])
    width = 2 * (MARGIN + BLOCK_WIDTH + GAP) + MODULE_WIDTH
    height = bottom + 3 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img">',
        f"<title>The wiring of {escape(board.name)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_module(board, bottom),
        *_side(board, left, -1),
        *_side(board, right, 1),
        *_legend(made, height - MARGIN),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _placed(stack: list[Block]) -> list[Placed]:
    top = MARGIN + TITLE
    made: list[Placed] = []
    for block in stack:
        made.append(Placed(block, top))
        top += made[-1].height + BETWEEN
    return made


def _module(board: Described, bottom: int) -> Iterator[str]:
    x = MARGIN + BLOCK_WIDTH + GAP
    yield (
        f'<rect x="{x}" y="{MARGIN}" width="{MODULE_WIDTH}" height="{bottom - MARGIN}" rx="8" '
        'fill="#f6f8fa" stroke="#1f2328" stroke-width="1.5"/>'
    )
    yield _text(x + MODULE_WIDTH // 2, MARGIN + 24, board.wiring["module"], "h m")


def _side(board: Described, stack: list[Placed], side: int) -> Iterator[str]:
    """The blocks of one side with their wires; `side`: 1 right of the module, -1 left."""
    edge = MARGIN + BLOCK_WIDTH + GAP + (MODULE_WIDTH if side > 0 else 0)
    near = edge + side * GAP
    shared: dict[tuple[str, str], list[tuple[int, Pin]]] = {}
    for placed in stack:
        yield from _block(placed, near, side)
        colour = WIRE_COLOURS[placed.block.kind]
        for i, pin in enumerate(placed.block.pins):
            at = placed.at(i)
            if pin.wire.bus:
                shared.setdefault((pin.wire.bus, pin.wire.signal), []).append((at, pin))
            else:
                yield from _straight(board, edge, near, at, pin, colour)
    for n, ends in enumerate(shared.values()):
        kind = ends[0][1].wire.bus[:3]
        yield from _straight(board, edge, near, *ends[0], WIRE_COLOURS[kind])
        if len(ends) > 1:
            x = near - side * (BRANCH + 14 * (n % 4))
            yield from _branches(x, near, [at for at, _ in ends], WIRE_COLOURS[kind])


def _straight(board: Described, edge: int, near: int, at: int, pin: Pin, colour: str) -> Iterator[str]:
    yield _line(edge, at, near, at, colour)
    yield f'<circle cx="{edge}" cy="{at}" r="3.5" fill="#ffffff" stroke="#1f2328"/>'
    inward = 10 if near < edge else -10
    yield _text(edge + inward, at + 4, label(board, pin.wire.pin), "" if near < edge else "e")


def _branches(x: int, near: int, heights: list[int], colour: str) -> Iterator[str]:
    yield _line(x, heights[0], x, heights[-1], colour)
    for at in heights:
        yield _line(x, at, near, at, colour)
        yield f'<circle cx="{x}" cy="{at}" r="3.5" fill="{colour}"/>'


def _block(placed: Placed, near: int, side: int) -> Iterator[str]:
    block = placed.block
    x = near if side > 0 else near - BLOCK_WIDTH
    colour = WIRE_COLOURS[block.kind]
    yield (
        f'<rect x="{x}" y="{placed.top}" width="{BLOCK_WIDTH}" height="{placed.height}" rx="6" '
        f'fill="#ffffff" stroke="{colour}" stroke-width="1.5"/>'
    )
    yield _text(x + 12, placed.top + 18, block.title, "t")
    yield _text(x + 12, placed.top + 34, block.note, "n")
    for i, pin in enumerate(block.pins):
        inner = near + side * 10
        yield _text(inner, placed.at(i) + 4, pin.name, "" if side > 0 else "e")
    if block.supply:
        words = "and " + ", ".join(block.supply)
        yield _text(x + 12, placed.top + placed.height - 8, words, "n")


def _legend(made: list[Block], y: int) -> Iterator[str]:
    x = MARGIN
    for kind, name in LEGEND.items():
        if any(block.kind == kind for block in made):
            yield _line(x, y - 4, x + 26, y - 4, WIRE_COLOURS[kind])
            yield _text(x + 32, y, name, "n")
            x += 60 + 7 * len(name)


def _line(x1: int, y1: int, x2: int, y2: int, colour: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="2"/>'


def _text(x: int, y: int, words: str, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{attribute}>{escape(words)}</text>'
