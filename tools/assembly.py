"""A board's parts, as a build puts them together: assembly.py names the classes of their drivers and of the
features that they bring, so that the firmware need not know which chip is on a board.

A part is one line in board.toml, `role = "driver"`: the module drivers/DRIVER.py, whose class has the
module's name with a capital letter. What a role brings beyond its driver stands in firmware/modules.toml; so
does what a table of board.toml brings that belongs to no part (a radio, the spool, updates).
"""

import ast
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLES = ("ecg", "ppg", "cuff", "gauge")

# What the firmware asks of the driver in each role (docs/adding-a-sensor.md).
SAMPLED = ("part", "period_ns", "lsb", "check", "configure", "start", "drain", "overflowed", "saturated")
ASKED = {
    "ecg": (*SAMPLED, "full_scale", "stop", "lead_off"),
    "ppg": (*SAMPLED, "set_led", "ambient"),
    "cuff": ("part", "period_ns", "lsb", "check", "configure", "start", "read", "raw"),
    "gauge": ("part", "check", "configure", "read", "cell_mv", "charge_pct"),
}
# The sample periods for which the filters are made (firmware/dsp), in ns.
PERIODS = {"ecg": 4_000_000, "ppg": 10_000_000, "cuff": 10_000_000}
# What a cuff asks of the board's class besides (docs/boards.md).
ASKED_OF_BOARD = ("cuff", "timer")

# Within a second of a fault the pump is off (docs/cuff.md).
MONOSTABLE_MAX_MS = 400

TEXT = '''"""Made by `vitalwire build`: the parts of the board, and what they bring."""

{imports}

SENSORS = {{{sensors}}}
FEATURES = {{{features}}}
'''


class BadPart(Exception):
    """A part that cannot be built in; the text says why. `place`: the table or key to blame in board.toml, as
    in a Fault (tools/boards/fault.py).
    """

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place


@dataclass(frozen=True)
class Assembly:
    """`text` of assembly.py; `imported`: the modules that it imports; `modules`: all that the parts need, of
    which the `rare` are imported when they are wanted.
    """

    text: str
    imported: list[str]
    modules: list[str]
    rare: list[str]


def check(root: Path, parts: Mapping[str, Any]) -> None:
    """BadPart unless every part has a role and a driver that there are."""
    for role, driver in parts.items():
        place = f"[parts] {role}"
        if role not in ROLES:
            raise BadPart(place, f"[parts] has no role {role!r}; it has {', '.join(ROLES)}")
        if not isinstance(driver, str) or not driver.isidentifier():
            raise BadPart(place, f"{role} is {driver!r}, and not the name of a file in drivers/, without .py")
        path = root / "drivers" / f"{driver}.py"
        if not path.is_file():
            there = ", ".join(sorted(path.stem for path in (root / "drivers").glob("[!_]*.py")))
            raise BadPart(
                place, f"{role} is {driver!r}, but there is no drivers/{driver}.py; there are: {there}"
            )
        name = _class(driver)
        members = _members(path, name)
        if members is None:
            raise BadPart(place, f"{role} is {driver!r}, but drivers/{driver}.py has no class {name}")
        lacking = [what for what in ASKED[role] if what not in members]
        if lacking:
            raise BadPart(
                place,
                f"{role} is {driver!r}, but {name} is no driver for that: it has no {', '.join(lacking)}",
            )
        period = _period_ns(path, name)
        if role in PERIODS and period not in (None, PERIODS[role]):
            raise BadPart(
                place, f"{role} is {driver!r}, whose period_ns is {period}: it has to be {PERIODS[role]}"
            )


def check_cuff(settings: Mapping[str, Any], board: Path) -> None:
    """BadPart unless a board with a cuff declares the hardware that does not trust its software, and its
    class, in the file `board`, gives that to the firmware.
    """
    cuff = settings.get("cuff", {})
    if not isinstance(cuff, Mapping):
        raise BadPart("cuff", "cuff has to be a table: [cuff]")
    lacking = [what for what in ("second_release", "pressure_switch") if cuff.get(what) is not True]
    feed_ms = cuff.get("monostable_ms", 0)
    if type(feed_ms) is not int or not 0 < feed_ms <= MONOSTABLE_MAX_MS:
        lacking.append(f"monostable_ms, from 1 to {MONOSTABLE_MAX_MS}")
    if lacking:
        raise BadPart(
            "[cuff]",
            f"a cuff needs hardware of its own against a failing node: [cuff] lacks {', '.join(lacking)}",
        )
    members = _members(board, "Board") or ()
    lacking = [f"{what}()" for what in ASKED_OF_BOARD if what not in members]
    if lacking:
        raise BadPart(
            "[parts] cuff",
            f"a cuff needs a board that drives it: its class Board has no {', '.join(lacking)}",
        )


def read(root: Path, parts: Mapping[str, str], tables: Collection[str] = ()) -> Assembly:
    """What a board with these parts, which have passed `check`, and these tables in its board.toml is built
    of.
    """
    listed = tomllib.loads((root / "firmware" / "modules.toml").read_text()).get("features", {})
    features = {name: about for name, about in listed.items() if _is_brought(name, about, parts, tables)}
    drivers = {role: (f"drivers.{driver}", _class(driver)) for role, driver in parts.items()}
    brought = {role: tuple(about["class"].rsplit(".", 1)) for role, about in features.items()}
    classes = sorted({*drivers.values(), *brought.values()})
    text = TEXT.format(
        imports="\n".join(f"from {module} import {name}" for module, name in classes),
        sensors=_by_role(drivers),
        features=_by_role(brought),
    )
    imported = [module for module, _ in classes]
    rare = [module for about in features.values() for module in about.get("rare", [])]
    more = [module for about in features.values() for module in about["modules"]]
    return Assembly(text, imported, [*imported, *more, *rare], rare)


def _is_brought(
    name: str, about: Mapping[str, Any], parts: Mapping[str, str], tables: Collection[str]
) -> bool:
    """`tables` of a feature: those that bring it; without, it comes with the part of its name."""
    return not set(tables).isdisjoint(about["tables"]) if "tables" in about else name in parts


def _class(driver: str) -> str:
    return "".join(part.capitalize() for part in driver.split("_"))


def _period_ns(path: Path, name: str) -> object:
    """What a class of a file says of its sample period; None: nothing, or nothing that is plain."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    value: ast.expr | None = ast.Name("period_ns")
    for body in (classes[0].body, tree.body):
        for node in body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(value, ast.Name)
                and ast.unparse(node.targets[0]) == value.id
            ):
                value = node.value
    if isinstance(value, ast.Call) and value.args:
        value = value.args[0]
    return value.value if isinstance(value, ast.Constant) else None


def _members(path: Path, name: str) -> set[str] | None:
    """What a class of a file has: methods, attributes of its own and of its objects, and what it inherits
    from a class of another file; None: there is no such class.
    """
    tree = ast.parse(path.read_text("utf-8"), str(path))
    found = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if found is None:
        return None
    members = {item.name for item in found.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for node in ast.walk(found):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            members.add(node.attr)
    for item in found.body:
        targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
        members.update(target.id for target in targets if isinstance(target, ast.Name))
    for base in (ast.unparse(base) for base in found.bases):
        for node in tree.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                other = _imported(path, node.module or "") if base == (alias.asname or alias.name) else None
                members |= (_members(other, alias.name) if other is not None else None) or set()
    return members


def _imported(path: Path, module: str) -> Path | None:
    """The file of a module that the file `path` imports, if it is one of the project's."""
    places = (parent / f"{module.replace('.', '/')}.py" for parent in path.parents)
    return next((place for place in places if place.is_file()), None)


def _by_role(classes: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f'"{role}": {name}' for role, (_, name) in classes.items())
