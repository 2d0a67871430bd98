"""A build onto a board's file system: only what differs, and every file checked by its SHA-256 there.

main.py goes first and comes last: a board whose copy was interrupted starts nothing, and stays at its prompt.
"""

import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping

from tools.flash.prompt import Prompt
from tools.flash.trouble import Trouble

START = "main.py"
# What the board takes away at its first start (firmware/slots.py): never there to be compared.
CONSUMED = frozenset({"flashed"})
MANIFEST = "manifest.json"
# In base64 it fits the heap of any board many times.
CHUNK = 1536
AT_ONCE = 12

HASHES = """\
import hashlib,binascii
def hashed(p):
 try:
  f=open(p,'rb')
 except OSError:
  return ''
 h=hashlib.sha256();b=bytearray(1024);v=memoryview(b)
 while 1:
  n=f.readinto(b)
  if not n:break
  h.update(v[:n])
 f.close()
 return binascii.hexlify(h.digest()).decode()
"""
REMOVE = """\
import os
for p in %r:
 try:
  os.remove(p)
 except OSError:
  pass
"""
FOLDERS = """\
import os
for p in %r:
 try:
  os.mkdir(p)
 except OSError:
  pass
"""
READ = "try:\n print(open(%r).read())\nexcept OSError:\n pass"
ROOM = "import os\ns=os.statvfs('.')\nprint(s[0]*s[3])"
Progress = Callable[[int, int], None]


def differing(
    prompt: Prompt, files: Mapping[str, bytes], progress: Progress = lambda done, of: None
) -> list[str]:
    """The paths whose files on the board are not these."""
    paths = sorted(files)
    prompt.run(HASHES)
    found: list[str] = []
    for at in range(0, len(paths), AT_ONCE):
        some = paths[at : at + AT_ONCE]
        answers = prompt.run(f"for p in {some!r}:\n print(hashed(p))").split("\n")
        found += [
            path
            for path, digest in zip(some, answers, strict=False)
            if digest != hashlib.sha256(files[path]).hexdigest()
        ]
        progress(min(at + AT_ONCE, len(paths)), len(paths))
    return found


def copy(prompt: Prompt, files: Mapping[str, bytes], progress: Progress) -> tuple[int, int]:
    """Make the board's tree this one; (files that were there already, files that stay). Trouble when a file
    does not hold what was written, or there is no room."""
    lasting = {path: data for path, data in files.items() if path not in CONSUMED}
    once = {path: data for path, data in files.items() if path in CONSUMED}
    changed = set(differing(prompt, lasting))
    there = len(lasting) - len(changed)
    if changed:
        stale = _stale(prompt, files)
        prompt.run(REMOVE % ([START, *stale],))
        changed.add(START)
        _check_room(prompt, [files[path] for path in changed])
        prompt.run(FOLDERS % (_folders(changed),))
    whole = sum(len(files[path]) for path in [*changed, *once])
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress(done, whole)

    for path in sorted(changed - {START}):
        _write(prompt, path, files[path], count)
    if changed:
        _insist(prompt, {path: data for path, data in lasting.items() if path != START})
    for path, data in once.items():
        _write(prompt, path, data, count)
    _insist(prompt, once)
    if changed:
        _write(prompt, START, files[START], count)
        _insist(prompt, {START: files[START]})
    return there, len(lasting)


def _insist(prompt: Prompt, files: Mapping[str, bytes]) -> None:
    """Verify, and write once more what is not right."""
    for path in differing(prompt, files):
        _write(prompt, path, files[path], lambda n: None)
    wrong = differing(prompt, files)
    if wrong:
        raise Trouble(
            f"verify failed: {', '.join(wrong)} on the board is not what was written",
            "run this again; if it stays so, use another cable, else the board's flash is worn",
        )


def _write(prompt: Prompt, path: str, data: bytes, count: Callable[[int], None]) -> None:
    prompt.run(f"from binascii import a2b_base64 as d\nf=open({path!r},'wb')")
    for at in range(0, len(data), CHUNK):
        chunk = data[at : at + CHUNK]
        prompt.run(f"f.write(d({binascii.b2a_base64(chunk, newline=False)!r}))")
        count(len(chunk))
    prompt.run("f.close()")


def _stale(prompt: Prompt, files: Mapping[str, bytes]) -> list[str]:
    """What an earlier build brought, and this one does not."""
    try:
        earlier = json.loads(prompt.run(READ % MANIFEST))["files"]
    except (ValueError, KeyError, TypeError):
        return []
    return [path for path in earlier if path not in files and not path.startswith("/") and ".." not in path]


def _folders(paths: Iterable[str]) -> list[str]:
    parents = {"/".join(path.split("/")[:n]) for path in paths for n in range(1, path.count("/") + 1)}
    return sorted(parents)


def _check_room(prompt: Prompt, files: list[bytes]) -> None:
    # What is replaced is not counted as room: a margin that every board has.
    free = int(prompt.run(ROOM))
    needed = sum(len(data) for data in files)
    if free < needed:
        raise Trouble(
            f"the flash has no room: {needed:,} bytes to write, {free:,} free",
            "erase the board (--erase), which makes a new node of it",
        )
