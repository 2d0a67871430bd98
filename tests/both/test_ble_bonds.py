"""The keys of phones: four at most, and nobody's place is taken by one who was not asked for."""

from firmware.ble_bonds import BONDS_RECORD, Bonds
from tests.both.node_memory import Medium, on


def _phone(n):
    return b"\x01" + bytes((n,)) * 6


def _bond(bonds, n, value, lasting=True):
    """As NimBLE does: what it has of the phone, then what the phone has of it."""
    for kind in (2, 1):
        assert bonds.put(kind, memoryview(_phone(n)), memoryview(value), lasting)


def _there(bonds):
    return [n for n in range(10) if bonds.secret(1, 0, memoryview(_phone(n))) is not None]


def test_a_bond_outlives_the_boot():
    records = on(Medium())
    bonds = Bonds(records)
    bonds.load()
    assert not bonds.changed and _there(bonds) == []
    _bond(bonds, 1, b"one" * 27)
    assert bonds.changed
    bonds.save()
    assert not bonds.changed
    again = Bonds(records)
    again.load()
    assert again.secret(1, 0, _phone(1)) == again.secret(2, 0, None) == b"one" * 27
    assert again.secret(2, 1, None) is None and again.secret(3, 0, None) is None


def test_the_fifth_takes_the_place_of_the_first():
    bonds = Bonds(on(Medium()))
    for n in (1, 2, 3, 4):
        _bond(bonds, n, b"old")
    # The first bonds anew: it is the newest then.
    _bond(bonds, 1, b"new")
    assert _there(bonds) == [1, 2, 3, 4] and bonds.secret(1, 0, _phone(1)) == b"new"
    _bond(bonds, 5, b"old")
    assert _there(bonds) == [1, 3, 4, 5]
    bonds.save()


def test_who_was_not_asked_for_takes_nobodys_place():
    bonds = Bonds(on(Medium()))
    _bond(bonds, 1, b"mine")
    bonds.save()
    # Somebody says that he is that phone and has lost his keys: the stack lets go of them.
    for kind in (1, 2):
        assert bonds.put(kind, _phone(1), None, False)
    assert not bonds.put(1, _phone(1), None, False), "there is none any more: the stack asks until then"
    _bond(bonds, 1, b"his", False)
    assert _there(bonds) == [] and not bonds.changed and bonds.lent
    bonds.load()
    assert bonds.secret(1, 0, _phone(1)) == b"mine" and not bonds.lent
    # The phone itself, which somebody lets in.
    assert bonds.put(1, _phone(1), None, True) and bonds.changed and not bonds.lent


def test_forgotten_is_forgotten_on_flash():
    medium = Medium()
    records = on(medium)
    bonds = Bonds(records)
    _bond(bonds, 1, b"one")
    bonds.save()
    bonds.forget()
    assert _there(bonds) == [] and records.read(BONDS_RECORD) is None


def test_a_damaged_record_is_set_aside():
    for payload in (b"\x82", b"\x81\x01", b"\x01", b"\x81\x81\x01"):
        medium = Medium()
        records = on(medium)
        records.write(BONDS_RECORD, payload)
        bonds = Bonds(records)
        bonds.load()
        assert _there(bonds) == [] and not records.holds(BONDS_RECORD)
