"""`vitalwire build`: the exact file tree that goes onto a board's flash.

A board that takes updates has two slots for the application (slot_tree.py).

A build is the union of what every node needs (firmware/modules.toml), what the board adds (its own modules
in boards/NAME/board.toml, the drivers of its parts, the features that those bring), and four generated files:
main.py, the composition root, where firmware and board meet; assembly.py, the parts' drivers and features;
board_config.py, the board's settings; manifest.json, every file's size and SHA-256. The lists are checked
against what the modules import, so a tree holds what it needs and nothing else.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from tools import assembly, board_settings, imported, slot_tree
from tools.boards import description
from tools.boards.check import faults
from tools.boards.description import Board
from tools.maker_key import NoMaker, maker_key
from tools.mpy import NoBytecode, compile_mpy
from tools.slim import slim
from tools.slim.bundle import Unbundled
from tools.slim.emit import Source
from tools.slim.in_place import put_in_place

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "manifest.json"
BUNDLE = "node"
# What main.py and the prompt call things by.
OUTSIDE_NAMES = {"run", "SENSORS", "FEATURES", "Board", "self_test"}
VERSION = "firmware.version"
ASSEMBLY = "assembly"

CONFIG = '''"""Made by `vitalwire build` from boards/{name}/board.toml."""

CONFIG = {config}
'''


class BuildError(Exception):
    """The tree cannot be built; the text says which file, and what to do."""


@dataclass
class Build:
    """What was made: `files` maps a path in the tree to its bytes; `bundle` is the source of a bytecode
    build, `rare` those of its modules in files of their own.
    """

    board: str
    format: str
    version: str
    files: dict[str, bytes] = field(default_factory=lambda: {})
    bundle: Source | None = None
    rare: dict[str, Source] = field(default_factory=lambda: {})

    def total(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


def board_names() -> list[str]:
    """The boards there are."""
    return sorted(path.parent.name for path in (ROOT / "boards").glob("*/board.toml"))


def read_board(name: str) -> Board:
    """Read boards/NAME/board.toml; BuildError names the file and the line, and what is wrong there."""
    if name not in board_names():
        raise BuildError(f"no board {name!r}; there are: {', '.join(board_names())}")
    try:
        return description.read(ROOT, name)
    except description.BadBoard as e:
        raise BuildError(str(e)) from e


def node_modules() -> tuple[list[str], dict[str, str]]:
    """(the modules of every node, those left out with the reason) from firmware/modules.toml."""
    listed = tomllib.loads((ROOT / "firmware" / "modules.toml").read_text())
    return [*listed["modules"], *rare_modules(), *prompt_modules()], listed["left_out"]


def rare_modules() -> list[str]:
    """The modules that a bytecode build keeps in files of their own."""
    return tomllib.loads((ROOT / "firmware" / "modules.toml").read_text()).get("rare", [])


def prompt_modules() -> list[str]:
    """The modules that are for the prompt only, and no part of a running node."""
    return tomllib.loads((ROOT / "firmware" / "modules.toml").read_text()).get("prompt", [])


def module_path(module: str) -> Path:
    """Where a module's source is."""
    return imported.module_path(ROOT, module)


def needs_source(module: str) -> bool:
    """Whether a module holds code for the board's own compiler (viper, native), which bytecode files cannot
    carry.
    """
    return module.endswith("_fast")


def firmware_version() -> str:
    """VERSION of firmware/version.py."""
    found = re.search(r'^VERSION = "([^"]+)"', module_path(VERSION).read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("firmware/version.py has no VERSION")
    return found.group(1)


def make(
    name: str,
    output: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
    only: Collection[str] = (),
    version: str | None = None,
    makers: Collection[str] = (),
) -> Build:
    """Everything of a build in memory. `output`: mpy or source, else the board's own choice. `only`: of the
    board's parts these roles, else all. `version`: another than that of firmware/version.py. `makers`: the
    Ed25519 public keys (hex) of those whose updates it takes, besides those in its board.toml."""
    board, modules, parts = checked(name, only, makers)
    build = Build(name, output or board.format, version or firmware_version())
    if build.format == "mpy":
        _bundle(build, modules, parts, progress)
    else:
        build.files[f"{ASSEMBLY}.py"] = parts.text.encode()
        sources = _sources(modules, build.version)
        try:
            placed = put_in_place(sources)
        except Unbundled as e:
            raise BuildError(str(e)) from e
        for module, text in placed.items():
            build.files[module.replace(".", "/") + ".py"] = text.encode()
    build.files["board_config.py"] = CONFIG.format(
        name=name, config=board_settings.literal(board.settings)
    ).encode()
    entry = slot_tree.composition(board.name, board.first, BUNDLE if build.format == "mpy" else "")
    if "update" in board.settings:
        build.files[slot_tree.ENTRY] = entry
        chooser = module_path(slot_tree.CHOOSER).read_bytes()
        build.files = slot_tree.laid_out(build.board, build.version, build.files, chooser)
    else:
        build.files["main.py"] = entry
    build.files[MANIFEST] = manifest(build)
    return build


def checked(
    name: str, only: Collection[str] = (), makers: Collection[str] = ()
) -> tuple[Board, list[str], assembly.Assembly]:
    """(the board, the modules of its build, its parts), as `make` takes them, with everything checked that
    needs no compiler.
    """
    board = read_board(name)
    _add_makers(board, makers)
    modules, left_out = node_modules()
    parts = assembly.read(
        ROOT,
        {role: part for role, part in board.parts.items() if not only or role in only},
        board.settings,
    )
    modules = sorted({*modules, *board.modules, *parts.modules})
    try:
        imported.check(ROOT, modules, left_out, [*parts.imported, *prompt_modules()])
    except imported.BadImport as e:
        raise BuildError(str(e)) from e
    _check_settings(board, modules)
    return board, modules, parts


def _add_makers(board: Board, makers: Collection[str]) -> None:
    if not makers:
        return
    update = board.settings.get("update")
    if not isinstance(update, dict):
        raise BuildError(f"boards/{board.name}/board.toml has no table [update]: nobody updates that board")
    update["makers"] = sorted({*update.get("makers", ()), *makers})


def _sources(modules: Collection[str], version: str) -> dict[str, str]:
    """Module to source; the version is the build's."""
    sources = {module: module_path(module).read_text() for module in modules}
    if version != firmware_version():
        place = r'^VERSION = ".*"$'
        sources[VERSION] = re.sub(place, f'VERSION = "{version}"', sources[VERSION], flags=re.MULTILINE)
    return sources


def _check_settings(board: Board, modules: list[str]) -> None:
    readers = [*board.modules, *(module for module in modules if module.startswith("firmware."))]
    sources = {_shown(module_path(module)): module_path(module).read_text("utf-8") for module in readers}
    try:
        board_settings.check(board.settings, board.parts, sources)
    except board_settings.BadSetting as e:
        raise BuildError(board.wrong(e.place, str(e))) from e
    wrong = faults(board, ROOT / "drivers")
    if wrong:
        raise BuildError("\n".join(board.wrong(fault.place, str(fault)) for fault in wrong))


def _bundle(
    build: Build, modules: list[str], parts: assembly.Assembly, progress: Callable[[str], None]
) -> None:
    """All modules as one of bytecode, except those that need their source."""
    progress(f"slimming {len(modules)} modules")
    sources = _sources(modules, build.version)
    fast = [module for module in modules if needs_source(module)]
    sources[ASSEMBLY] = parts.text
    prompt = prompt_modules()
    rare = [*rare_modules(), *parts.rare, *prompt]
    entries = ["firmware.app", ASSEMBLY, f"boards.{build.board}.board", *prompt]
    try:
        made = slim(sources, fast, entries, OUTSIDE_NAMES, rare, BUNDLE, prompt)
    except Unbundled as e:
        raise BuildError(str(e)) from e
    build.bundle, build.rare = made.bundle, made.rare
    progress(f"compiling {len(build.bundle.lines)} lines")
    try:
        build.files[BUNDLE + ".mpy"] = compile_mpy(build.bundle.text(), BUNDLE)
        for module, source in build.rare.items():
            path = module.replace(".", "/")
            build.files[path + ".mpy"] = compile_mpy(source.text(), path)
    except NoBytecode as e:
        raise BuildError(str(e)) from e
    for module, text in made.opaque.items():
        build.files[module.replace(".", "/") + ".py"] = text.encode()


def where(build: Build, line: int, file: str = BUNDLE) -> str:
    """Which source a line number in a traceback from a bytecode build stands for: file:line."""
    source = build.bundle if file == BUNDLE else build.rare.get(file.replace("/", "."))
    if source is None or not 1 <= line <= len(source.origins):
        raise BuildError(f"no line {line} in the bytecode of {build.board}")
    module, at = source.origins[line - 1]
    return f"{_shown(module_path(module))}:{at}" if module else "an import"


def manifest(build: Build) -> bytes:
    """The tree's contents as JSON, the same for the same inputs."""
    files = {
        path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(build.files.items())
    }
    about = {"board": build.board, "format": build.format, "version": build.version, "files": files}
    return (json.dumps(about, indent=1) + "\n").encode()


def write(build: Build, out: Path) -> None:
    """Put the tree at `out`, in place of an earlier build there. BuildError when something else is there."""
    if out.exists() and not out.is_dir():
        raise BuildError(f"{out} is not a folder")
    if out.is_dir() and any(out.iterdir()):
        _clear(out)
    for path, data in build.files.items():
        place = out / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def _clear(out: Path) -> None:
    """Remove an earlier build's files, and only those."""
    try:
        earlier = json.loads((out / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError) as e:
        raise BuildError(f"{out} holds something else than a build; choose an empty folder") from e
    for path in [*earlier, MANIFEST]:
        place = (out / path).resolve()
        if out.resolve() in place.parents:
            place.unlink(missing_ok=True)
    for folder in sorted((p for p in out.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def sizes(build: Build) -> Iterator[str]:
    """Lines that say how large the rooms are, and the whole."""
    rooms: dict[str, list[int]] = {}
    for path, data in build.files.items():
        rooms.setdefault(path.split("/")[0] if "/" in path else "(generated)", []).append(len(data))
    for room in sorted(rooms):
        yield f"{room:12} {len(rooms[room]):3} files {sum(rooms[room]):8,} bytes"
    yield f"{'total':12} {len(build.files):3} files {build.total():8,} bytes"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@click.command("build")
@click.option("--board", "name", required=True, help="A board; `vitalwire boards list` has them.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the tree goes.")
@click.option(
    "--maker",
    "makers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Public key of whose updates it takes; again for more.",
)
@click.option("--source", is_flag=True, help="Ship sources, constants put in place, instead of bytecode.")
@click.option("--where", "place", help="Say which source a traceback's line stands for: 3314, or FILE:12.")
@click.option("--quiet", is_flag=True, help="No progress.")
def build(
    name: str, out: Path | None, makers: tuple[Path, ...], source: bool, place: str | None, quiet: bool
) -> None:
    """Write the file tree that goes onto a board's flash.

    \b
    Example:
      vitalwire build --board esp32_devkit --out build/esp32
    """

    def progress(text: str) -> None:
        if not quiet:
            click.echo(text)

    if out is None and place is None:
        raise click.UsageError("--out says where the tree goes")
    try:
        keys = [maker_key(path).hex() for path in makers]
        built = make(name, "source" if source else None, progress, makers=keys)
        if place is not None:
            file, _, line = place.rpartition(":")
            if not line.isdecimal():
                raise click.UsageError(f"--where {place}: a line, or FILE:LINE, as the traceback has it")
            click.echo(where(built, int(line), file or BUNDLE))
            return
        assert out is not None
        try:
            write(built, out)
        except OSError as e:
            raise BuildError(f"cannot write {out}: {e.strerror}") from e
    except (BuildError, NoMaker, OSError) as e:
        raise click.ClickException(str(e)) from e
    if not quiet:
        for size in sizes(built):
            click.echo(size)
    click.echo(f"{name} {built.version} ({built.format}): {out}")
