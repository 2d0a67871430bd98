"""Files beside the store that an erasure does not reach: stores that were damaged and set aside, and copies
that `vitalwire store export` made. They lie under the store's key and have data keys in them, so that whoever
has that key reads from them what was erased since.

Nothing else can be done with them than to destroy them whole: a damaged file takes no erasure, and a copy
that was changed is none. What lies where a copy was made may be something else by now: it is written over
only while it begins with the bytes, a salt, that the log has of the copy.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import NamedTuple

from edge_agent.config import Config
from edge_agent.custody import audit
from edge_agent.custody.signing import signing_path
from edge_agent.files import fsync_folder
from edge_agent.keys import public_path
from edge_agent.people.state import PeopleState
from edge_agent.store import database
from edge_agent.store.check_file import SALT_BYTES
from edge_agent.store.errors import StoreError
from edge_agent.store.key_files import key_in, new_file, old_files
from edge_agent.store.keys import check_path, source_beside, source_of, unlock

# What the log calls it: a copy that was made, what an erasure left, what was destroyed, or is not there.
COPIED, LEFT, DESTROYED, GONE = "store copied", "not erased", "store destroyed", "store gone"
SIDES = ("-wal", "-shm", "-journal")
MAY = "it cannot be opened here, so they may be in it"
CHUNK = 1 << 20
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Note(NamedTuple):
    """What the log has of a copy: `path`, its folder without links; `begins`: its first bytes in hex, ""
    where an older version noted none; `size` in bytes.
    """

    path: Path
    begins: str
    size: int


class LeftOver(NamedTuple):
    """`path`: a store; `why`: that somebody's data are in it, or may be, or that it is not there now, and why
    it is not destroyed from here; `note`: of a copy, None of a store that was set aside; `there`: whether it
    is where it was made; `kept`: whether what is there has to be seen to by hand.
    """

    path: Path
    why: str
    note: Note | None = None
    there: bool = True
    kept: bool = False

    @property
    def copy(self) -> bool:
        """Whether it was made on purpose."""
        return self.note is not None


class _Look(NamedTuple):
    """What is at a path now. `gone`: why that is not the store, `kept`: why it is not destroyed from here;
    `opens`: whether it may be looked into.
    """

    gone: str = ""
    kept: str = ""
    opens: bool = True


def find(config: Config, state: PeopleState, person: bytes) -> list[LeftOver]:
    """Every such file in which that person's data are, or may be. StoreError: the store cannot be read."""
    nodes = {span.node for span in state.spans(person)}
    keys, own = _keys(config), _own(config)
    places: list[tuple[Path, Note | None]] = [(path, None) for path in set_aside(config.store)]
    found: list[LeftOver] = []
    for path, note in [*places, *((note.path, note) for note in _copies(config))]:
        look = _look(path, note, own)
        if look.gone:
            found.append(LeftOver(path, look.gone, note, there=False))
            continue
        why = _why(path, keys, person, nodes) if look.opens else "they may be in it"
        if why:
            found.append(
                LeftOver(path, "; ".join(filter(None, (why, look.kept))), note, kept=bool(look.kept))
            )
    return found


def set_aside(store: Path) -> list[Path]:
    """The damaged stores beside that one, oldest first (store/integrity.py names them)."""
    named = re.compile(re.escape(store.name) + r"\.corrupt-(\d+)")
    found: set[tuple[int, Path]] = set()
    for path in store.parent.glob(f"{store.name}.corrupt-*"):
        # Of some only the log is left.
        match = named.match(path.name)
        if match:
            found.add((int(match[1]), path.with_name(match[0])))
    return [path for _, path in sorted(found)]


def destroy(config: Config, one: LeftOver) -> None:
    """Write zeros over the store and its companions, durably, then remove them. OSError as it comes, also
    when what is there is not, or not only, that store: nothing is written then.
    """
    own = _own(config)
    look = _look(one.path, one.note, own)
    if look.gone or look.kept:
        raise OSError(None, look.gone or look.kept, str(one.path))
    with ExitStack() as stack:
        opened: list[tuple[Path, int]] = []
        for part in _parts(one.path):
            descriptor = os.open(part, os.O_RDWR | _OPEN)
            stack.callback(os.close, descriptor)
            # Again, of what is open: the name may be another file's by now.
            why = _refusal(os.fstat(descriptor), own)
            if not why and part == one.path and one.note is not None:
                why = "" if _header(descriptor) == one.note.begins else "another file is there now"
            if why:
                raise OSError(None, why, str(part))
            opened.append((part, descriptor))
        for _, descriptor in opened:
            _zero(descriptor)
        written = [(part, os.fstat(descriptor)) for part, descriptor in opened]
    for part, was in written:
        if os.path.samestat(part.lstat(), was):
            part.unlink()
    fsync_folder(one.path.parent)


def _zero(descriptor: int) -> None:
    """The first bytes last: a store that this was cut off in is known by them, and destroyed by the next."""
    size = os.fstat(descriptor).st_size
    for begin, end in ((SALT_BYTES, size), (0, min(SALT_BYTES, size))):
        os.lseek(descriptor, begin, os.SEEK_SET)
        while begin < end:
            begin += os.write(descriptor, bytes(min(CHUNK, end - begin)))
        os.fsync(descriptor)


def _parts(path: Path) -> list[Path]:
    """The files of the store at `path` that are there, links as well."""
    sides = [path.with_name(path.name + side) for side in SIDES]
    return [one for one in (*sides, path, check_path(path)) if os.path.lexists(one)]


def _own(config: Config) -> list[os.stat_result]:
    """The files that this agent lives by: its store, its keys."""
    store, source = config.store, source_of(config)
    beside = [store.with_name(store.name + side) for side in ("", *SIDES, "-check", "-mark", ".rekey")]
    keys = [config.key, public_path(config.key), signing_path(config.key), *_key_files(config)]
    others = [new_file(source.key_file), source.passphrase_file, config.peers, config.source]
    found: list[os.stat_result] = []
    for one in (*beside, *keys, *filter(None, others)):
        with suppress(OSError):
            found.append(one.stat())
    return found


def _refusal(at: os.stat_result, own: list[os.stat_result]) -> str:
    """Why that file is never written over; "": it may be."""
    if any(os.path.samestat(at, one) for one in own):
        return "it is a file that this agent lives by, under another name: remove that name by hand"
    if stat.S_ISLNK(at.st_mode):
        return "it is a link, and is not followed: see to it by hand"
    if not stat.S_ISREG(at.st_mode):
        return "it is no regular file: see to it by hand"
    if at.st_nlink > 1:
        return "the file has another name, too (a hard link): see to it by hand"
    return ""


def _look(path: Path, note: Note | None, own: list[os.stat_result]) -> _Look:
    """What is there now. OSError from a folder that cannot be read counts as: it has to be seen to."""
    try:
        if not os.path.lexists(path) and (note is not None or not _parts(path)):
            return _Look(gone="it is not there now: was it moved?")
        if note is not None and note.begins and path.parent.resolve() != path.parent:
            return _Look(gone="its folder is a link to another now: was it moved?")
        if note is not None and any(os.path.samestat(path.stat(), one) for one in own):
            return _Look(gone="this agent's own store is there now: was it moved, or restored?")
        for part in _parts(path):
            why = _refusal(part.lstat(), own)
            if why:
                opens = part != path or stat.S_ISREG(part.lstat().st_mode)
                opens = opens and not any(os.path.samestat(part.lstat(), one) for one in own)
                return _Look(kept=why if part == path else f"{part.name}: {why}", opens=opens)
        if note is None:
            return _Look()
        if not note.begins:
            return _Look(kept="its first bytes were not noted when it was made: destroy it by hand")
        if _beginning(path) != note.begins:
            return _Look(gone="another file is there now: was it moved?")
        if path.stat().st_size != note.size:
            return _Look(kept="it was written to since it was made: see by hand whether an agent uses it")
    except OSError as e:
        return _Look(kept=f"it cannot be read ({e.strerror}): see to it by hand", opens=False)
    return _Look()


def _header(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, SALT_BYTES).hex()


def _beginning(path: Path) -> str:
    """The first bytes of a regular file, in hex, and of no other. OSError as it comes."""
    descriptor = os.open(path, os.O_RDONLY | _OPEN)
    try:
        return _header(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else ""
    finally:
        os.close(descriptor)


def _key_files(config: Config) -> Iterator[Path]:
    """Every file here that holds the store's key, or held it."""
    for file in dict.fromkeys((source_of(config).key_file, source_beside(config.store).key_file)):
        yield file
        yield from old_files(file)


def _keys(config: Config) -> list[bytes]:
    """The store's key, then those that it was under before: copies from then are under them."""
    found: list[bytes] = []
    with suppress(StoreError):
        found.append(unlock(config.store, source_of(config)))
    for file in _key_files(config):
        with suppress(StoreError):
            found.append(key_in(file, config.store))
    return list(dict.fromkeys(found))


def _copies(config: Config) -> list[Note]:
    """The copies that the log knows of, but for those that were destroyed or are gone, and older ones of the
    same name, unless they are there all the same.
    """
    if not config.store.exists():
        return []
    with closing(database.open_reader(config)) as db:
        lines = list(audit.lines(db))
    made: list[Note] = []
    for line in lines:
        begins, size = line.more.get("begins"), line.more.get("size")
        if line.what == COPIED and isinstance(line.on, str):
            note = Note(Path(line.on), str(begins or ""), size if isinstance(size, int) else 0)
            made = [one for one in made if one.path != note.path or _is_there(one)]
            made.append(note)
        elif line.what in (DESTROYED, GONE):
            # Said before it is done: what is there all the same was not.
            gone = Path(str(line.more.get("file")))
            made = [one for one in made if one.path != gone or one.begins != (begins or "") or _is_there(one)]
    return list(dict.fromkeys(made))


def _is_there(note: Note) -> bool:
    if not note.begins:
        return os.path.lexists(note.path)
    try:
        return _beginning(note.path) == note.begins
    except OSError:
        return False


def _why(path: Path, keys: list[bytes], person: bytes, nodes: Iterable[bytes]) -> str:
    """Why that person's data have to be thought of as being in it; "": they are not."""
    for key in keys:
        # All but Error: of a damaged file.
        with suppress(database.Error, OSError, AssertionError, ValueError):
            under = None if database.is_plain(path) else key
            with closing(database.connect(path, under, read_only=True)) as db:
                return _inside(db, person, set(nodes))
    return MAY


def _inside(db: database.Database, person: bytes, nodes: set[bytes]) -> str:
    people = db.value("SELECT count(*) FROM sqlite_schema WHERE name IN ('data_keys', 'records')") == 2
    if people:
        if db.value("SELECT 1 FROM data_keys WHERE person = ? AND key NOTNULL", (person,)):
            return "they are in it, and their key"
        if db.value("SELECT 1 FROM records WHERE person = ? AND sort = 'erasure'", (person,)):
            return ""
        nodes |= {
            node for (node,) in db.execute("SELECT node FROM records WHERE person = ?", (person,)) if node
        }
    for node in nodes:
        if db.value(
            "SELECT 1 FROM boots b JOIN journal j ON j.boot = b.id WHERE b.node = ? AND j.data NOTNULL",
            (node,),
        ):
            return "frames of a node that was theirs are in it"
    return ""
