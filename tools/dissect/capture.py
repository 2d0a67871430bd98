"""What a capture is, and all that can be said of it: structure, meaning, and what the keys at hand prove."""

from tools.dissect.checks import take_item_apart
from tools.dissect.part import Keys, Part
from tools.dissect.recognise import STREAM, recognise
from tools.dissect.stream import take_stream_apart

__all__ = ("STREAM", "Keys", "Part", "recognise", "take_apart")


def take_apart(data: bytes, rule: str, keys: Keys) -> Part:
    """`data` as a stream or under a rule, with all that the keys let one say."""
    return take_stream_apart(data, keys) if rule == STREAM else take_item_apart(data, rule, keys)[0]
