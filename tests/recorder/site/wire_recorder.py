"""Keeps samples of what product code puts on the wire, in any CPython process that a test starts.

`install(folder)` wraps the places where bytes leave the product or are accepted as authentic, when their
modules are imported. What a test makes by itself is not the product's: a builder counts only when product
code calls it, an opened frame only when its boot was not made in this process.

A sample is kept when it tells something new under its rule: a map with other keys, or, at some place in it, a
value of another type or beyond all values before. So the files stay small and yet hold every extreme. Lines
are `rule, where, hex`, separated by tabs.
"""

import atexit
import contextlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import cbor2

FOLDER = "VITALWIRE_RECORDER"
"""The environment variable that names the folder of the samples."""

_PRODUCT = (
    "edge_agent.",
    "tools.collector",
    "tools.demo",
    "tools.node",
    "firmware.",
    # whoever runs in another thread or task was put there by the product
    "concurrent.futures.",
    "threading",
    "asyncio.",
)
_MANY = 4
"""Items of a list whose places are told apart."""


class Samples:
    """What was seen so far, by rule, and the file of those who told something new."""

    def __init__(self, folder: str):
        self.folder = folder
        self.paused = 0
        self.seen: dict[Any, list[int]] = {}
        self.pending: dict[Any, tuple[str, str, bytes]] = {}
        self._fd: int | None = None
        self._pid = 0

    def add(self, rule: str, data: bytes) -> None:
        """Look at one encoded item: write it down when it is new in kind, remember it when it is extreme."""
        if self.paused:
            return
        try:
            value = cbor2.loads(data)
        except Exception:
            self._write(rule, _where(), data)  # not CBOR: whoever validates it says so
            return
        new = False
        extreme: list[Any] = []
        for place, number in _facets(value, (rule,)):
            bounds = self.seen.get(place)
            if bounds is None:
                self.seen[place] = [number, number]
                new = True
                continue
            for side, beyond in ((0, number < bounds[0]), (1, number > bounds[1])):
                if beyond:
                    new = new or number.bit_length() > bounds[side].bit_length()
                    bounds[side] = number
                    extreme.append((place, side))
        if new:
            self._write(rule, _where(), data)
        for place in extreme:
            if new:
                self.pending.pop(place, None)
            else:
                self.pending[place] = (rule, _where(), data)

    def flush(self) -> None:
        """Write the extremes down, too."""
        pending, self.pending = self.pending, {}
        for rule, where, data in dict.fromkeys(pending.values()):
            self._write(rule, where, data)

    def _write(self, rule: str, where: str, data: bytes) -> None:
        if self._fd is None or self._pid != os.getpid():
            self._pid = os.getpid()
            path = os.path.join(self.folder, f"{self._pid}.samples")
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                return  # the run is over, and its folder gone
        os.write(self._fd, f"{rule}\t{where}\t{data.hex()}\n".encode())


samples: "Samples | None" = None


def install(folder: str) -> Samples:
    """Begin to keep samples in `folder`; protocol's modules are wrapped when they are imported."""
    global samples
    samples = Samples(folder)
    atexit.register(samples.flush)
    for name in _WRAPS:
        if name in sys.modules:
            _WRAPS[name](sys.modules[name])
    sys.meta_path.insert(0, _Finder())
    return samples


def on_import(name: str, wrap: Callable[[Any], None]) -> None:
    """Have this module wrapped, too, now or with the others."""
    _WRAPS[name] = wrap
    if samples is not None and name in sys.modules:
        wrap(sys.modules[name])


@contextlib.contextmanager
def deliberate() -> Iterator[None]:
    """What is made inside is wrong on purpose: nothing is kept, nor by processes that are started inside."""
    folder = os.environ.pop(FOLDER, None)
    if samples is not None:
        samples.paused += 1
    try:
        yield
    finally:
        if samples is not None:
            samples.paused -= 1
        if folder is not None:
            os.environ[FOLDER] = folder


def _where() -> str:
    test = os.environ.get("PYTEST_CURRENT_TEST", "between tests")
    return test.replace("\t", " ").replace("\n", " ").encode("ascii", "backslashreplace").decode()


def _facets(value: Any, place: tuple[Any, ...]) -> "Iterator[tuple[Any, int]]":
    """(place and type, number) of all that is in `value`: integers, or the lengths of strings and lists."""
    if isinstance(value, bool) or value is None:
        yield (place, type(value)), int(bool(value))
    elif isinstance(value, int):
        yield (place, int), value
    elif isinstance(value, (bytes, str)):
        yield (place, type(value)), len(value if isinstance(value, bytes) else value.encode())
    elif isinstance(value, dict):
        yield (place, tuple(sorted(map(repr, value)))), 0
        for key in value:
            yield from _facets(value[key], (*place, key))
    elif isinstance(value, (list, tuple)):
        yield (place, list), len(value)
        for i, one in enumerate(value):
            yield from _facets(one, (*place, min(i, _MANY)))
    elif isinstance(value, cbor2.CBORTag):
        yield (place, "tag"), value.tag
        yield from _facets(value.value, place)
    else:
        yield (place, type(value)), 0


# What is wrapped


def _keep(rule: str, data: bytes) -> None:
    if samples is not None:
        samples.add(rule, bytes(data))


def _caller(depth: int) -> str:
    return sys._getframe(depth + 1).f_globals.get("__name__", "")


def _by_product() -> bool:
    """Whether the first frame outside protocol that led here is the product's."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and not name.startswith("protocol."):
            return name.startswith(_PRODUCT)
        frame = frame.f_back
    return False


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    real = getattr(owner, name)

    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(real, *args, **kwargs)

    setattr(owner, name, wrapped)


_here: set[bytes] = set()
"""Boots whose keys were made in this process, and not by an agent that unwrapped them."""
_lengths: set[int] = set()
_CLEAR = {1: "hello", 2: "welcome", 3: "pair-request", 4: "pair-reply", 5: "refusal", 6: "solicit"}


def _sent(out: bytes) -> None:
    """What a session wrote: messages in COBS. Of data, one of each length will do."""
    cobs = sys.modules["protocol.cobs"]
    for framed in out.split(b"\0"):
        if len(framed) > 1:
            if framed[1] == 0x82 and len(framed) in _lengths:
                continue
            _keep_message(cobs.decode(framed), framed)


def _keep_message(message: bytes, framed: bytes = b"") -> None:
    first = message[0] if message else 0
    if first >> 5 == 5:
        fields = cbor2.loads(message)
        _keep(_CLEAR.get(fields.get(0), "clear-message"), message)
        if fields.get(0) == 1:
            _keep("hello-body", fields[1])
    elif first == 0x82:
        _lengths.add(len(framed))
        _keep("data-message", message)
    else:
        _keep("downlink-message", message)


def _wrap_session(name: str) -> Callable[[Any], None]:
    def wrap(module: Any) -> None:
        def pull(real: Any, *args: Any) -> bytes:
            out = real(*args)
            if out:
                _sent(out)
            return out

        _wrap(getattr(module, name), "pull", pull)

    return wrap


def _wrap_agent(module: Any) -> None:
    _wrap_session("AgentSession")(module)
    parsed: list[bytes] = [b""]

    def parse_clear(real: Any, message: bytes) -> Any:
        found = real(message)
        if _caller(2) == "protocol.session_agent":
            parsed[0] = message
        return found

    def feed(real: Any, *args: Any) -> Any:
        events = real(*args)
        for event in events:
            if type(event).__name__ == "HelloAccepted" and not _here & {boot[0] for boot in event.boots}:
                _keep_message(parsed[0])
        return events

    _wrap(sys.modules["protocol.messages"], "parse_clear", parse_clear)
    _wrap(module.AgentSession, "feed", feed)


def _wrap_seal(module: Any) -> None:
    def made(real: Any, self: Any, key: bytes, boot_id: bytes) -> None:
        real(self, key, boot_id)
        if _caller(2) != "protocol.session_agent":
            _here.add(boot_id)

    def opened(real: Any, self: Any, sealed: bytes) -> "tuple[int, bytes]":
        seq, plaintext = real(self, sealed)
        if self.boot_id not in _here and _caller(2) == "protocol.session_agent":
            _keep_frame(plaintext)
        return seq, plaintext

    _wrap(module.BootKeys, "__init__", made)
    _wrap(module.BootKeys, "open", opened)


def _keep_frame(plaintext: bytes) -> None:
    names = sys.modules["protocol.frame_names"].KIND_NAMES if "protocol.frame_names" in sys.modules else {}
    try:
        kind = cbor2.loads(plaintext)[0]
    except Exception:
        kind = None
    _keep(names[kind].replace("_", "-") + "-frame" if kind in names else "frame", plaintext)


def _wrap_frames(module: Any) -> None:
    always = (module.KIND_ACK, module.KIND_TIME_DOWN, module.KIND_FLOW)

    def pack(real: Any, kind: int, t_us: int, body: Any) -> bytes:
        plaintext = real(kind, t_us, body)
        if (_caller(2) == "protocol.session_agent" and kind in always) or _by_product():
            _keep_frame(plaintext)
        return plaintext

    _wrap(module, "pack", pack)


def _wrap_builders(rules: dict[str, str]) -> Callable[[Any], None]:
    def wrap(module: Any) -> None:
        for name, rule in rules.items():

            def built(real: Any, *args: Any, rule: str = rule, **kwargs: Any) -> bytes:
                result = real(*args, **kwargs)
                if _by_product():
                    _keep(rule, result)
                    if rule == "sealed-batch":
                        _keep_batch(args[0])
                return result

            _wrap(module, name, built)

    return wrap


_ENTRIES = (
    "frame-entry",
    "identity-entry",
    "clock-entry",
    "statement-entry",
    "assignment-entry",
    "typed-entry",
    "handover-entry",
    "consent-entry",
    "erasure-entry",
)


def _keep_batch(batch: bytes) -> None:
    """Its head and entries each; the whole only when it is small, since a validator takes its time."""
    fields = cbor2.loads(batch)
    _keep("signed-head", fields[1])
    _keep("head", cbor2.loads(fields[1]).value[2])
    for entry in filter(None, fields[2]):
        kind = cbor2.loads(entry)[0]
        _keep(_ENTRIES[kind] if kind < len(_ENTRIES) else "other-entry", entry)
    if len(batch) < 4096:
        _keep("batch", batch)


_WRAPS: dict[str, Callable[[Any], None]] = {
    "protocol.frames": _wrap_frames,
    "protocol.seal": _wrap_seal,
    "protocol.session_agent": _wrap_agent,
    "protocol.session_node": _wrap_session("NodeSession"),
    "protocol.batch": _wrap_builders({"seal_batch": "sealed-batch"}),
    "protocol.receipts": _wrap_builders(
        {
            "make_receipt": "signed-receipt",
            "make_head_statement": "signed-head-statement",
            "make_ask": "ask",
            "make_refusal": "batch-refusal",
        }
    ),
    "protocol.records": _wrap_builders(
        {"make_assignment": "signed-assignment", "make_manual": "signed-manual-entry"}
    ),
}


class _Finder:
    """Wraps a module right after it has run, before whoever imports it takes names from it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _WRAPS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader:
    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _WRAPS[module.__name__](module)
