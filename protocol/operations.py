"""What an authority may order, and of which form its arguments are (docs/wire-protocol.md §8.2 and §11.3).
CPython only.
"""

from collections.abc import Callable, Mapping
from typing import Any

from protocol import frames
from protocol.checks import is_list, is_map, is_uint
from protocol.errors import LocalError

IDENTIFY, BP, STRIP, MARK, RESTART = "identify", "bp", "strip", "mark", "restart"
LEAK_TEST, STATIC_PRESSURE, ACKNOWLEDGE = "leak-test", "static-pressure", "acknowledge"
CONFIG, LIMITS = "config", "limits"

# What the node is told; a strip is the agent's affair.
NODE_OPERATIONS = {
    IDENTIFY: frames.OP_IDENTIFY,
    BP: frames.OP_MEASURE_BP,
    MARK: frames.OP_MARK,
    RESTART: frames.OP_RESTART,
    LEAK_TEST: frames.OP_CUFF_LEAK,
    STATIC_PRESSURE: frames.OP_CUFF_STATIC,
    ACKNOWLEDGE: frames.OP_ACKNOWLEDGE,
}
SETTINGS = {
    CONFIG: (frames.SET_MAINS_HZ, frames.SET_NOT_SENT, frames.SET_CUFF_SIZE),
    LIMITS: (frames.SET_MODE, frames.SET_LIMITS),
}
OPERATIONS = (*NODE_OPERATIONS, *SETTINGS, STRIP)

STRIP_CHANNEL, STRIP_SECONDS, STRIP_NEXT = 1, 2, 3
MAX_STRIP_S = 300
MAX_TEXT = 64
_END = 1 << 31


def check_arguments(operation: str, arguments: Any) -> None:
    """LocalError for arguments that this operation does not take: an agent keeps and states them, so none has
    another form than it knows. What a node makes of the numbers is the node's to say. An operation of a later
    version may have any.
    """
    if arguments is not None and not (is_map(arguments) and all(is_uint(key) for key in arguments)):
        raise LocalError("key 7 (arguments) is not a map with unsigned keys")
    given: Mapping[int, Any] = arguments or {}
    if operation not in OPERATIONS:
        return
    forms = _FORMS.get(operation, {})
    for key, value in sorted(given.items()):
        if key not in forms:
            what = "setting" if operation in SETTINGS else "argument"
            raise LocalError(f"{what} {key} is not of {operation}")
        if not forms[key][0](value):
            raise LocalError(f"argument {key} of {operation} is {forms[key][1]}")
    if operation in SETTINGS and not given:
        raise LocalError(f"{operation} without settings")
    if operation == STRIP and not (STRIP_CHANNEL in given and STRIP_SECONDS in given):
        raise LocalError(f"a strip has a channel, and 1 to {MAX_STRIP_S} seconds")


def _number(value: Any) -> bool:
    return is_uint(value) and value < _END


def _numbers(value: Any) -> bool:
    return is_list(value) and all(_number(one) for one in value)


def _limits(value: Any) -> bool:
    return is_list(value) and all(_numbers(one) and len(one) == 3 for one in value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value.encode()) <= MAX_TEXT


def _channel(value: Any) -> bool:
    return is_uint(value) and value < 256


def _seconds(value: Any) -> bool:
    return is_uint(value) and 0 < value <= MAX_STRIP_S


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_Form = tuple[Callable[[Any], bool], str]
_NUMBER: _Form = (_number, "a number that is not negative, below 2^31")
_FORMS: Mapping[str, Mapping[int, _Form]] = {
    BP: {1: _NUMBER},
    MARK: {1: (_text, f"a text of {MAX_TEXT} bytes at most")},
    STATIC_PRESSURE: {1: _NUMBER},
    CONFIG: {
        frames.SET_MAINS_HZ: _NUMBER,
        frames.SET_NOT_SENT: (_numbers, "a list of channels"),
        frames.SET_CUFF_SIZE: _NUMBER,
    },
    LIMITS: {
        frames.SET_MODE: _NUMBER,
        frames.SET_LIMITS: (_limits, "a list of [event code, limit, delay]"),
    },
    STRIP: {
        STRIP_CHANNEL: (_channel, "a channel, below 256"),
        STRIP_SECONDS: (_seconds, f"1 to {MAX_STRIP_S} seconds"),
        STRIP_NEXT: (_flag, "true or false: whether it is of what comes"),
    },
}
