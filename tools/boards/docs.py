"""Writes docs/boards/: a page and a picture of every board that there is to wire.

python -m tools.boards.docs
"""

from tools import build
from tools.boards import picture, table

FOLDER = build.ROOT / "docs" / "boards"


def pages() -> dict[str, str]:
    """File name in docs/boards/ to what stands in it."""
    made: dict[str, str] = {}
    drivers = build.ROOT / "drivers"
    for name in build.board_names():
        board = build.read_board(name)
        if board.chip:
            made[f"{name}.md"] = table.page(board, drivers)
            made[f"{name}.svg"] = picture.svg(board, drivers)
    return made


def main() -> None:
    """Write them, and take away what is of no board any more."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
