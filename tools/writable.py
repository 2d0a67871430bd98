"""Whether a file can be written at a path: asked before a run, because after it the results would be lost."""

from pathlib import Path


def why_not(path: Path) -> "str | None":
    """Why no file can be written at `path`; None when one can. Leaves what is there as it is."""
    try:
        if path.is_dir():
            return f"{path} is a folder"
        if path.exists() and not path.is_file():
            return None  # a pipe or a device, which an attempt would disturb
        new = not path.exists()
        path.open("ab").close()
        if new:
            path.unlink()
    except OSError as e:
        return f"{path} cannot be written: {e.strerror}"
    except ValueError as e:
        return f"{str(path)!r} cannot be written: {e}"
    return None
