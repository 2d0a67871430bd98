"""The manifest of an update: what is taken, and what is refused by its cause."""

from protocol import cbor, crypto, update

MAKER_SEED = bytes(range(32))
HASH = bytes(32)
FILES = [["firmware/app.mpy", 9120, HASH], ["start.py", 310, HASH]]


def payload(**changed):
    fields = {1: 1, 2: "update", 3: "0.2.0", 4: "a_board", 5: FILES}
    for key in changed:
        fields[int(key[1:])] = changed[key]
    return cbor.dumps(fields)


def signed(content):
    public = crypto.run(crypto.ed25519_public_steps(MAKER_SEED))
    message = cbor.dumps(["Signature1", cbor.dumps({1: -8}), b"", content])
    signature = crypto.run(crypto.ed25519_sign_steps(MAKER_SEED, public, message))
    return public, unsigned(content, signature)


def unsigned(content, signature=bytes(64)):
    return cbor.head(6, 18) + cbor.dumps([cbor.dumps({1: -8}), {}, content, signature])


def manifest(data):
    return update.Manifest(lambda at, n: data[at : at + n], len(data))


def cause(data):
    """Why it is refused; "" where it is not."""
    try:
        for _ in manifest(data).entries():
            pass
    except update.UpdateError as e:
        return e.cause
    return ""


def refused(action, *args):
    try:
        action(*args)
    except update.UpdateError as e:
        return e.cause
    return ""


def test_what_it_says():
    found = manifest(unsigned(payload()))
    assert (found.version, found.board, found.count) == ("0.2.0", "a_board", 2)
    assert list(found.entries()) == [("firmware/app.mpy", 9120, HASH), ("start.py", 310, HASH)]
    later = manifest(unsigned(payload(k6="of a later version")))
    assert len(list(later.entries())) == 2


def test_as_many_files_as_there_may_be():
    names = ["a/%03d_%s.mpy" % (n, "x" * 36) for n in range(update.MAX_FILES)]
    assert len(names[0]) < update.MAX_PATH
    data = unsigned(payload(k5=[[name, update.MAX_FILE, HASH] for name in names]))
    assert len(data) <= update.MAX_MANIFEST
    assert [path for path, _, _ in manifest(data).entries()] == names


def test_each_byte_counts():
    good, data = signed(payload())
    crypto.run(manifest(data).verify_steps([good]))
    # Each of them, with the structure unharmed, is of the signature; the others are no manifest any more.
    for at in range(0, len(data), 1 if len(data) < 64 else 13):
        changed = data[:at] + bytes((data[at] ^ 4,)) + data[at + 1 :]
        try:
            found = manifest(changed)
            for _ in found.entries():
                pass
            crypto.run(found.verify_steps([good]))
        except update.UpdateError:
            continue
        raise AssertionError(at)


def test_cut_off_anywhere():
    data = unsigned(payload())
    for at in range(len(data)):
        assert cause(data[:at]), at


def test_signed_by_another():
    good, data = signed(payload())
    checking = manifest(data)
    assert refused(lambda: crypto.run(checking.verify_steps([]))) == "bad_signature"
    assert refused(lambda: crypto.run(checking.verify_steps([bytes(32), HASH]))) == "bad_signature"
    crypto.run(checking.verify_steps([bytes(32), good]))


def test_of_another_form():
    assert cause(unsigned(payload(k1=2))) == "malformed_manifest"
    assert cause(unsigned(payload(k2="batch"))) == "malformed_manifest"
    assert cause(unsigned(payload(k3=7))) == "malformed_manifest"
    assert cause(unsigned(payload(k5=[]))) == "malformed_manifest"
    assert cause(unsigned(payload(k5=[["start.py", 1]]))) == "malformed_manifest"
    assert cause(unsigned(payload(k5=[["start.py", -1, HASH]]))) == "malformed_manifest"
    assert cause(unsigned(payload(k5=[["start.py", 1, HASH[:31]]]))) == "malformed_manifest"
    assert cause(unsigned(payload() + b"\0")) == "malformed_manifest"
    assert cause(b"") == cause(bytes(update.MAX_MANIFEST + 1)) == "too_large"
    assert cause(unsigned(payload(k5=[["start.py", update.MAX_FILE + 1, HASH]]))) == "too_large"


def test_paths():
    for path in ("start.py", "node.mpy", "firmware/dsp/ecg_kernel_fast.py", "a" * 45 + ".py"):
        assert update.is_path(path), path
    for path in (
        "",
        "/start.py",
        "../start.py",
        "firmware/../start.py",
        "./start.py",
        "a//b.py",
        "a/",
        "main.py",
        "main/x.py",
        "boot.py",
        "slots.py",
        "slots/x.py",
        "slot_a/start.py",
        "state/agents.py",
        "spool/1.mpy",
        "start.txt",
        "start",
        ".py",
        "a.b.py",
        "a\\b.py",
        "ä.py",
        "a b.py",
        "a" * 46 + ".py",
        7,
        None,
        b"start.py",
    ):
        assert not update.is_path(path), path
    assert cause(unsigned(payload(k5=[["../start.py", 1, HASH]]))) == "bad_path"
    twice = [["start.py", 1, HASH], ["start.py", 1, HASH]]
    assert cause(unsigned(payload(k5=twice))) == "bad_path"
    assert cause(unsigned(payload(k5=[FILES[1], FILES[0]]))) == "bad_path"


def test_versions_are_compared_as_numbers():
    assert update.version_key("0.10") > update.version_key("0.9.9")
    assert update.version_key("1") == update.version_key("1.0.0.0")
    for text in ("", "1.", ".1", "1..2", "01.2", "1.2.3.4.5", "1.2a", "-1", "65536", "1 ", "１"):
        assert refused(update.version_key, text) == "malformed_manifest", text


def test_for_whom():
    found = manifest(unsigned(payload()))
    found.check("a_board", "0.1.0")
    found.check("a_board", "0.1.0", "0.2.0")
    assert refused(found.check, "another", "0.1.0") == "wrong_board"
    assert refused(found.check, "a_board", "0.2.0") == "old_version"
    assert refused(found.check, "a_board", "0.3") == "old_version"
    assert refused(found.check, "a_board", "0.1.0", "0.2.1") == "old_version"


def test_the_place_of_a_byte():
    for one in ((0, 0), (1, 127), (update.MAX_FILES + 1, 0), (255, update.MAX_FILE)):
        assert update.placed(update.place(*one)) == one
    assert update.place(255, update.MAX_FILE) < 1 << 30
