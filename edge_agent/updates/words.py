"""What nodes say of their own accord about versions: which one runs, that it was confirmed, or rolled back.

An acknowledged frame is not said again. So a word is written in the transaction of its frame (`note`), and
found again by the next agent (`recall`), wherever this one was killed.
"""

from contextlib import suppress
from typing import Any, NamedTuple

from edge_agent.store.items import Write
from edge_agent.store.rows import SealBroken, frames_of
from edge_agent.store.store import Store
from protocol import cbor, frames
from protocol.errors import ProtocolError

_KEY = "update_word "
_SQL = "INSERT OR REPLACE INTO meta VALUES(?, ?)"


class Word(NamedTuple):
    """`code`: EVENT_UPDATED or EVENT_ROLLED_BACK; `text`: the version, then why; `at_ms`: when it came."""

    node: bytes
    code: int
    text: str
    at_ms: int

    @property
    def version(self) -> str:
        """What it is about: the text up to the first blank, colon or comma."""
        for end, char in enumerate(self.text):
            if char in " :,;":
                return self.text[:end]
        return self.text

    @property
    def why(self) -> str:
        """What stands after the version."""
        return self.text[len(self.version) :].lstrip(" :,;-")


def word_of(node: bytes, body: dict[int, Any], at_ms: int) -> Word | None:
    """The word in an event frame, if it is one."""
    code = body[frames.EVENT_CODE]
    if code not in (frames.EVENT_UPDATED, frames.EVENT_ROLLED_BACK):
        return None
    return Word(node, code, body.get(frames.EVENT_TEXT, ""), at_ms)


def note(word: Word) -> Write:
    """The row that is written along with its frame."""
    return Write(_SQL, (_KEY + word.node.hex(), cbor.dumps([word.code, word.text, word.at_ms])))


def recall(store: Store) -> tuple[dict[bytes, tuple[str, str]], list[Word]]:
    """(version and board by node, from the newest boot frame; the newest word of each node). Used in the
    store's thread.
    """
    newest: dict[bytes, Any] = {}
    for facts in store.facts.values():
        if facts.node not in newest or newest[facts.node].counter < facts.counter:
            newest[facts.node] = facts
    about: dict[bytes, tuple[str, str]] = {}
    for node, facts in newest.items():
        # What is damaged is for whoever reads the store through to say; the node's next boot tells it anew.
        with suppress(SealBroken):
            for row in frames_of(store.db, facts.row, 0, 0):
                found = _about(row.data)
                if found is not None:
                    about[node] = found
    said: list[Word] = []
    for key, value in store.db.execute("SELECT key, value FROM meta WHERE key LIKE ?", (_KEY + "%",)):
        try:
            code, text, at_ms = cbor.loads(bytes(value))
            said.append(Word(bytes.fromhex(key[len(_KEY) :]), code, text, at_ms))
        except (ProtocolError, ValueError, TypeError):
            continue
    return about, said


def _about(data: bytes | None) -> tuple[str, str] | None:
    if data is None:
        return None
    try:
        kind, _, body = frames.unpack(data)
        return (body[frames.BOOT_FIRMWARE], body[frames.BOOT_BOARD]) if kind == frames.KIND_BOOT else None
    except (ProtocolError, KeyError):
        return None
