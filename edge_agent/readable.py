"""What was CBOR, for JSON and for people."""

from typing import Any, cast


def readable(value: Any) -> Any:
    """The same value with bytes as hex and text keys, for JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(readable(k)): readable(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [readable(item) for item in cast("list[Any]", value)]
    return value
