"""No program of the curve code can make a product overflow: limbs are followed through each as the largest
that they can be.
"""

import pytest

from protocol import edwards25519, field25519, limbs, x25519

SHORT = 4098
LOADED = 8191
FACTORS = {limbs.ADD_TWICE: 2, limbs.CARRIED_DIFFERENCE: 1, limbs.ADD_A24: limbs.A24}


def carried(most: int) -> int:
    """What limbs are at most after limbs of `most` were carried."""
    out = (most + 4096 + (most >> 12)) >> 13
    second = (608 * out + 8192) >> 13
    return 4096 + ((4096 + second + 4096) >> 13)


def follow(program: "bytes | bytearray", most: "dict[int, int]") -> "dict[int, int]":
    """The largest limbs of each register after the program; fails where a sum exceeds 31 bits."""
    most = {19: 0, **most}
    at = 0
    while program[at] != limbs.END:
        op, d, a, b = program[at : at + 4]
        at += 4
        if op in (limbs.MULTIPLY, limbs.SQUARE):
            column = 20 * most[a] * most[a if op == limbs.SQUARE else b]
            assert column + (column >> 12) + 8192 < 1 << 31, (program[at - 4 : at], most[a], most[b])
            most[d] = carried(4096 + 608 * (column // 20 // 8192 + 4096))
        elif op == limbs.SWAP:
            most[d] = most[a] = max(most[d], most[a])
        elif op in (limbs.ADD, limbs.SUBTRACT):
            most[d] = most[a] + most[b]
        else:
            total = most[a] + FACTORS[op] * most[b]
            assert total + (total >> 12) < 1 << 31, program[at - 4 : at]
            most[d] = carried(total)
        if op > limbs.SUBTRACT or op < limbs.SWAP:
            assert most[d] <= SHORT, program[at - 4 : at]
    assert at == len(program) - 1
    return most


POINT = {register: SHORT for register in (7, 8, 9, 10)}


def is_short(most: "dict[int, int]", registers: "tuple[int, ...]" = (7, 8, 9, 10)) -> bool:
    return all(most[register] <= SHORT for register in registers)


def test_powers() -> None:
    most = {field25519.Z: 2 * SHORT}
    for last in (field25519._TO_INVERSE, field25519._TO_ROOT):
        after = most
        for program in (field25519._TO_X50, field25519._TO_X100, field25519._TO_X200, last):
            after = follow(program, after)
        assert after[field25519.POWER] <= SHORT


def test_doubling_and_the_comb() -> None:
    assert is_short(follow(edwards25519._DOUBLE + edwards25519._WITH_T, POINT))
    assert is_short(follow(edwards25519._DOUBLE + b"\x00", POINT), (7, 8, 9))
    assert is_short(follow(edwards25519._ADD_CHOSEN, {**POINT, 4: LOADED, 5: LOADED, 6: LOADED}))


def test_kept_points_and_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[bytes] = []
    monkeypatch.setattr(edwards25519, "calculate", lambda _, program: programs.append(bytes(program)))
    registers = field25519.new_registers(40)
    edwards25519.keep_point(registers, 20)
    edwards25519.add_point(registers, 20)
    edwards25519.add_point(registers, 20, True)
    kept = follow(programs[0], {**POINT, 4: LOADED})
    for program in programs[1:]:
        assert is_short(follow(program, kept))


def test_decoding_and_encoding() -> None:
    before = follow(edwards25519._BEFORE_ROOT, {8: LOADED, 4: LOADED, 5: 1})
    assert before[field25519.Z] <= 2 * SHORT
    after = follow(edwards25519._AFTER_ROOT, {**before, field25519.POWER: SHORT})
    assert max(after[13], after[14]) <= 60 * SHORT
    follow(edwards25519._TIMES_4, {**after, 4: LOADED})
    for sign in (edwards25519._KEEP_X, edwards25519._NEGATE_X):
        x = follow(sign, {**after, 7: LOADED})
        point = follow(edwards25519._COMPLETE, x)
        assert is_short(point)
        assert is_short(follow(edwards25519._NEGATE, point))
    follow(edwards25519._TO_AFFINE, {**POINT, field25519.POWER: SHORT})


def test_ladder() -> None:
    most = follow(x25519._BEGIN, {4: LOADED, 7: 1, 9: 0, 10: 1})
    for _ in range(3):
        most = follow(x25519._LADDER, most)
        assert is_short(most)
    follow(x25519._QUOTIENT, {**most, field25519.POWER: SHORT})
    difference = follow(x25519._SUM_AND_DIFFERENCE, POINT)
    assert difference[field25519.Z] <= 2 * SHORT
    follow(x25519._QUOTIENT, {**difference, field25519.POWER: SHORT})
