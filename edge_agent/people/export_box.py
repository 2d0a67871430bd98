"""The files of an export, in a folder or a zip, as whoever checks it reads them: damaged ones and bounded."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

# What zipfile and the standard library's unpackers raise of a zip that was damaged, beside ValueError.
UNPACKING = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
)


class Bad(Exception):
    """What was found to be wrong: a sentence without its full stop."""


class Box:
    """The files of the export at `path`. None is written anywhere. OSError, and of a zip UNPACKING."""

    def __init__(self, path: Path) -> None:
        self._folder = path if path.is_dir() else None
        self._zip = None if self._folder is not None else zipfile.ZipFile(path)

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def names(self) -> list[str]:
        """Every file, links and strange things too."""
        if self._zip is not None:
            return [one.filename for one in self._zip.infolist()]
        assert self._folder is not None
        found = (one for one in self._folder.rglob("*") if one.is_symlink() or not one.is_dir())
        return [one.relative_to(self._folder).as_posix() for one in found]

    @contextmanager
    def open(self, name: str) -> Generator[IO[bytes]]:
        """One of them, to be read in the block. Bad for one that is not inside, or that cannot be read."""
        try:
            with self._opened(name) as file:
                yield file
        except (KeyError, FileNotFoundError):
            raise Bad(f"{name} is missing") from None
        except (*UNPACKING, OSError, ValueError) as e:
            raise Bad(f"{name} cannot be read: {str(e) or type(e).__name__}") from e

    def _opened(self, name: str) -> IO[bytes]:
        if self._zip is not None:
            return self._zip.open(name)
        assert self._folder is not None
        path = self._folder / PurePosixPath(name)
        if path.is_symlink() or not path.resolve().is_relative_to(self._folder.resolve()):
            raise Bad(f"{name} is a link out of the export")
        if path.exists() and not path.is_file():
            raise Bad(f"{name} is no file")
        return path.open("rb")

    def read(self, name: str, most: int) -> bytes:
        """All of a file; Bad if it is longer than that."""
        with self.open(name) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise Bad(f"{name} is larger than any that is written ({most >> 20} MiB)")
        return data
