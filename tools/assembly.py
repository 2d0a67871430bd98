"""A board's parts, as a build puts them together: assembly.py names the classes of their drivers and of the
features that they bring, so that the firmware need not know which chip is on a board.

A part is one line in board.toml, `role = "driver"`: the module drivers/DRIVER.py, whose class has the
module's name with a capital letter. What a role brings beyond its driver stands in firmware/modules.toml.
"""

import ast
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLES = ("ecg", "ppg", "cuff", "gauge")

# Within a second of a fault the pump is off (docs/cuff.md).
MONOSTABLE_MAX_MS = 400

TEXT = '''"""Made by `vitalwire build`: the parts of the board, and what they bring."""

{imports}

SENSORS = {{{sensors}}}
FEATURES = {{{features}}}
'''


class BadPart(Exception):
    """A part that cannot be built in; the text says why."""


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
        if role not in ROLES:
            raise BadPart(f"[parts] has no role {role!r}; it has {', '.join(ROLES)}")
        path = root / "drivers" / f"{driver}.py"
        if not path.is_file():
            raise BadPart(f"{role} is {driver!r}, but there is no drivers/{driver}.py")
        name = _class(driver)
        if not any(isinstance(n, ast.ClassDef) and n.name == name for n in ast.parse(path.read_text()).body):
            raise BadPart(f"{role} is {driver!r}, but drivers/{driver}.py has no class {name}")


def check_cuff(settings: Mapping[str, Any]) -> None:
    """BadPart unless a board with a cuff declares the hardware that does not trust its software."""
    cuff = settings.get("cuff", {})
    lacking = [what for what in ("second_release", "pressure_switch") if cuff.get(what) is not True]
    if not 0 < cuff.get("monostable_ms", 0) <= MONOSTABLE_MAX_MS:
        lacking.append(f"monostable_ms, from 1 to {MONOSTABLE_MAX_MS}")
    if lacking:
        raise BadPart(
            f"a cuff needs hardware of its own against a failing node: [cuff] lacks {', '.join(lacking)}"
        )


def read(root: Path, parts: Mapping[str, str]) -> Assembly:
    """What a board with these parts, which have passed `check`, is built of."""
    listed = tomllib.loads((root / "firmware" / "modules.toml").read_text()).get("features", {})
    features = {role: about for role, about in listed.items() if role in parts}
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


def _class(driver: str) -> str:
    return driver.capitalize()


def _by_role(classes: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f'"{role}": {name}' for role, (_, name) in classes.items())
