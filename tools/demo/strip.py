"""A signal drawn in braille characters: eight dots a cell, so that a heartbeat can be recognised in a
terminal.
"""

from collections.abc import Sequence

# Unicode "Braille Patterns": the bit of the dot in column x (0, 1), row y (0 … 3) of a cell.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800


def draw(samples: Sequence[float], width: int, height: int, span: float) -> list[str]:
    """`height` lines of `width` cells, the last sample at the right edge.

    The vertical scale is that of the samples, but never finer than `span` (in their unit) from top to bottom.
    """
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    if samples:
        low, high = min(samples), max(samples)
        middle = (low + high) / 2
        half = max(high - low, span) / 2 or 1.0
        n = len(samples)
        previous: int | None = None
        for x in range(columns):
            part = samples[x * n // columns : max(x * n // columns + 1, (x + 1) * n // columns)]
            top = _row(max(part), middle, half, rows)
            bottom = _row(min(part), middle, half, rows)
            if previous is not None:
                # Joined to the column before, or a steep edge would have holes.
                top, bottom = min(top, previous), max(bottom, previous)
            previous = _row(part[-1], middle, half, rows)
            for y in range(top, bottom + 1):
                cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
    return ["".join(chr(BRAILLE + cell) for cell in line) for line in cells]


def _row(value: float, middle: float, half: float, rows: int) -> int:
    """0 at the top."""
    return round((middle + half - value) / (2 * half) * (rows - 1))
