"""An update on its way into the slot that does not run: received, checked, put on trial (docs/updates.md).

Loaded while an agent sends one. What lies in the slot is all there is to know: after a new connection or a
new boot its files are hashed, and reception goes on at the first byte that is missing. The version's entry
has another name until everything else has been verified, so that a slot with an entry is a whole version.
"""

import gc
import hashlib
import os

from firmware import interlocks
from firmware.indications import UPDATING
from firmware.requests import forget
from firmware.update_files import (
    ENTRIES,
    ID_BYTES,
    MANIFEST,
    MANIFEST_PART,
    SlotFiles,
    id_of,
    make_folders,
    may_update,
    pieces,
    reader,
    remove_file,
    size_of,
)
from firmware.version import VERSION
from protocol import frames, on_demand
from protocol.checks import is_uint
from protocol.update import MAX_MANIFEST, WINDOW, Manifest, UpdateError, place, version_key

# What was received is put on the medium so often: a power cut takes no more than that.
SYNC_BYTES = 4096
MAX_DETAIL = 64
NEVER_UPDATED = "-"

_RESULTS = {
    "wrong_board": frames.RESULT_UNSUPPORTED,
    "old_version": frames.RESULT_UNSUPPORTED,
    "no_slots": frames.RESULT_UNSUPPORTED,
    "bad_signature": frames.RESULT_UNAUTHORISED,
    "no_makers": frames.RESULT_UNAUTHORISED,
    "not_offered": frames.RESULT_EXPIRED,
    "bad_hash": frames.RESULT_FAILED,
    "no_room": frames.RESULT_FAILED,
    "too_large": frames.RESULT_FAILED,
    "not_now": frames.RESULT_INTERLOCK,
}


class Receiver:
    """`slot`: the one that runs, "a" or "b"; the other is written to."""

    def __init__(self, node, slot):
        self._node = node
        self._slot = slot
        self._root = root = node.board.root + "/" if node.board.root else ""
        self._other = "a" if slot == "b" else "b"
        self._mine = root + "slot_" + slot + "/"
        self._files = SlotFiles(node, self._mine, root + "slot_" + self._other + "/")
        self._folder = self._files.folder
        self._makers = [bytes.fromhex(key) for key in node.board.config["update"].get("makers", ())]
        self._applied = False
        self._file = self._source = None
        self.close_update()

    def close_update(self):
        """What was received stays on flash, and is of use when the update is offered again."""
        for file in (self._file, self._source):
            try:
                if file is not None:
                    file.close()
            except OSError:
                # What did not get there is missing when it is offered again.
                pass
        self._id = None
        # The object that is wanted, and the offset in it; of the manifest the size that was offered.
        self._object = self._offset = self._size = 0
        self._path = ""
        self._digest = b""
        self._hash = None
        self._file = None
        self._source = None
        self._manifest = None
        self._entries = None
        self._unanswered = 0
        self._unsynced = 0
        # Whether it has said already that what comes is not what it wants.
        self._astray = False

    # What the agent says

    def take_steps(self, body):
        """Slow work: one message, and its answer where one is due."""
        if self._applied:
            return
        step = body.get(frames.UPDATE_STEP)
        detail = ""
        try:
            if step == frames.STEP_OFFER:
                result = yield from self._offer_steps(body)
            elif step == frames.STEP_DATA:
                result = yield from self._data_steps(body)
            elif step == frames.STEP_APPLY:
                result = yield from self._apply_steps(body[frames.UPDATE_ID])
            elif step == frames.STEP_CANCEL:
                result = self._cancel(body[frames.UPDATE_ID])
            else:
                result = frames.RESULT_MALFORMED
        except UpdateError as error:
            result = _RESULTS.get(error.cause, frames.RESULT_MALFORMED)
            detail = error.detail or error.cause
            self.close_update()
        except OSError as error:
            result = frames.RESULT_FAILED
            detail = "flash: %s" % error
            self.close_update()
        if result is None:
            return
        self._unanswered = 0
        answer = {frames.ANSWER_ID: body[frames.UPDATE_ID], frames.ANSWER_RESULT: result}
        if detail:
            answer[frames.ANSWER_DETAIL] = detail[:MAX_DETAIL]
        if result == frames.RESULT_BEGUN:
            answer[frames.ANSWER_VALUE] = place(self._object, self._offset)
        self._node.sealer.seal(frames.KIND_ANSWER, answer)
        self._node.link.beat()
        if self._applied:
            self._node.restart()

    def _offer_steps(self, body):
        update_id = body[frames.UPDATE_ID]
        size, version = body.get(frames.UPDATE_SIZE), body.get(frames.UPDATE_FIRMWARE)
        if not is_uint(size) or not isinstance(version, str):
            return frames.RESULT_MALFORMED
        if not self._slot:
            raise UpdateError("started without slots", None, "no_slots")
        if not self._makers:
            raise UpdateError("this build knows no maker", None, "no_makers")
        choice = self._choice()
        on_trial = choice.trial == self._slot
        if id_of(self._mine + MANIFEST) == update_id and not on_trial:
            return frames.RESULT_DONE
        may_update(self._node)
        if on_trial:
            raise UpdateError("on trial", None, "not_now")
        if update_id == self._id:
            self._astray = False
            return frames.RESULT_BEGUN
        if not 0 < size <= MAX_MANIFEST:
            raise UpdateError("manifest too large", None, "too_large")
        if version_key(version) <= version_key(VERSION):
            raise UpdateError("not newer than " + VERSION, None, "old_version")
        self.close_update()
        make_folders(self._folder, "")
        if id_of(self._folder + MANIFEST) == update_id:
            yield from self._open_steps()
        else:
            self._begin_manifest(update_id, size)
        self._id = update_id
        return frames.RESULT_BEGUN

    def _data_steps(self, body):
        item, offset = body.get(frames.UPDATE_OBJECT), body.get(frames.UPDATE_OFFSET)
        data = body.get(frames.UPDATE_DATA)
        if not is_uint(item) or not is_uint(offset) or not isinstance(data, bytes) or not data:
            return frames.RESULT_MALFORMED
        if body[frames.UPDATE_ID] != self._id:
            raise UpdateError("offer it again", None, "not_offered")
        not_now = interlocks.refused(self._node, interlocks.UPDATE)
        if not_now or item != self._object or offset != self._offset or self._file is None:
            if self._astray:
                return None
            self._astray = True
            return frames.RESULT_INTERLOCK if not_now else frames.RESULT_BEGUN
        if offset + len(data) > self._size:
            raise UpdateError("more than object %d has" % item)
        self._astray = False
        self._node.drain()
        self._file.write(data)
        self._hash.update(data)
        self._offset += len(data)
        if self._offset == self._size:
            self._node.drain()
            self._file.close()
            self._file = None
            yield from self._complete_steps()
            return frames.RESULT_BEGUN
        self._unsynced += len(data)
        if self._unsynced >= SYNC_BYTES:
            self._unsynced = 0
            self._node.drain()
            self._file.flush()
        self._unanswered += 1
        return frames.RESULT_BEGUN if self._unanswered == WINDOW else None

    def _cancel(self, update_id):
        self.close_update()
        if self._slot:
            for name, named in ((MANIFEST, False), (MANIFEST_PART, True)):
                if id_of(self._folder + name, named) == update_id:
                    os.remove(self._folder + name)
        return frames.RESULT_DONE

    # The manifest

    def _begin_manifest(self, update_id, size):
        part = self._folder + MANIFEST_PART
        held = size_of(part) - ID_BYTES if id_of(part, True) == update_id else 0
        self._node.drain()
        if not 0 < held < size:
            held = 0
            with open(part, "wb") as file:
                file.write(update_id)
        self._hash = hashlib.sha256()
        with open(part, "rb") as file:
            file.seek(ID_BYTES)
            for data in pieces(file):
                self._hash.update(data)
        self._file = open(part, "ab")  # noqa: SIM115 - closed when it is whole
        self._offset = held
        self._size = size

    def _complete_steps(self):
        """An object is whole: check it, and find the next."""
        digest = self._hash.digest()
        self._hash = None
        if self._object:
            if digest != self._digest:
                yield from self._files.remove_steps(self._files.stored(self._path))
                raise UpdateError("hash of " + self._path, None, "bad_hash")
            yield from self._next_steps()
            return
        part = self._folder + MANIFEST_PART
        try:
            if digest[:ID_BYTES] != self._id:
                raise UpdateError("hash of the manifest", None, "bad_hash")
            yield from self._accept_steps(part)
        except UpdateError:
            remove_file(part)
            raise
        self._node.drain()
        beside = self._folder + MANIFEST + ".new"
        with open(part, "rb") as source, open(beside, "wb") as file:
            source.seek(ID_BYTES)
            for data in pieces(source):
                file.write(data)
                yield
        # What this slot held is no version any more.
        for entry in ENTRIES:
            yield from self._files.remove_steps(self._folder + entry)
        os.rename(beside, self._folder + MANIFEST)
        yield from self._files.remove_steps(part)
        yield from self._open_steps()

    def _accept_steps(self, part):
        """UpdateError unless the maker signed it, for this board, and newer than what runs."""
        floor = self._choice().floor
        with open(part, "rb") as file:
            manifest = Manifest(reader(file, ID_BYTES), self._size)
            manifest.check(self._node.board.name, VERSION, "" if floor == NEVER_UPDATED else floor)
            for _ in manifest.entries():
                yield
            yield from self._verify_steps(manifest)

    def _verify_steps(self, manifest):
        while True:
            try:
                yield from manifest.verify_steps(self._makers)
                return
            except MemoryError:
                # It is needed for a moment only: the outbox gives way, as far as it does.
                box = self._node.sealer.box
                most = box.max_bytes
                box.shrink()
                if box.max_bytes == most:
                    raise
            finally:
                on_demand.forget(on_demand.SIGNING)
                gc.collect()

    # The files

    def _open_steps(self):
        """Go through what the slot holds, as far as it is whole."""
        path = self._folder + MANIFEST
        self._source = open(path, "rb")  # noqa: SIM115 - closed with the update
        self._manifest = Manifest(reader(self._source, 0), size_of(path))
        yield from self._files.prepare_steps(self._manifest)
        self._entries = self._manifest.entries()
        self._object = 0
        yield from self._next_steps()

    def _next_steps(self):
        """Find the next object of which something is missing; those that the running version has are made of
        its files.
        """
        files = self._files
        for path, size, digest in self._entries:  # pyright: ignore[reportOptionalIterable]
            self._object += 1
            stored = files.stored(path)
            if (yield from files.is_whole_steps(stored, size, digest)):
                continue
            if (yield from files.copied_steps(path, size, digest)):
                continue
            if size_of(stored) >= size:
                yield from files.remove_steps(stored)
            held = max(size_of(stored), 0)
            self._hash = (yield from files.hash_steps(stored)) if held else hashlib.sha256()
            self._node.drain()
            self._file = open(stored, "ab")  # noqa: SIM115 - closed when it is whole
            self._offset = held
            self._path, self._size, self._digest = path, size, digest
            self._unsynced = 0
            if size:
                return
            self._file.close()
            self._file = None
        self._object = self._manifest.count + 1
        self._offset = 0

    # On trial

    def _apply_steps(self, update_id):
        if update_id != self._id:
            raise UpdateError("offer it first", None, "not_offered")
        may_update(self._node)
        if self._manifest is None or self._object <= self._manifest.count:
            return frames.RESULT_BEGUN
        for sensor in self._node.sensors:
            if sensor.driver is None and not sensor.held:
                raise UpdateError("sensor fault", None, "not_now")
        self._node.indicate("update", UPDATING)
        try:
            yield from self._verify_steps(self._manifest)
            for path, size, digest in self._manifest.entries():
                stored = self._files.stored(path)
                if not (yield from self._files.is_whole_steps(stored, size, digest)):
                    yield from self._files.remove_steps(stored)
                    raise UpdateError("hash of " + path, None, "bad_hash")
            may_update(self._node)
            for path in ENTRIES:
                if size_of(self._files.stored(path)) >= 0:
                    self._node.drain()
                    os.rename(self._files.stored(path), self._folder + path)
            self._try_version(self._manifest.version)
        finally:
            self._node.indicate("update", 0)
        self.close_update()
        self._applied = True
        return frames.RESULT_DONE

    def _try_version(self, version):
        from firmware import slots

        try:
            choice = slots.read_choice(self._root)
            # Also where it runs because the other one, which is written over now, had lost its entry.
            choice.confirmed = self._slot
            choice.trial = self._other
            choice.left = slots.TRIAL_BOOTS
            choice.tried = version
            choice.why = ""
            self._node.drain()
            slots.write_choice(self._root, choice)
        finally:
            forget("slots")

    def _choice(self):
        from firmware import slots

        try:
            return slots.read_choice(self._root)
        finally:
            forget("slots")
