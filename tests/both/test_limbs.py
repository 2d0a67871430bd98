"""Limbs: what the code in use calculates is what integers give, to the last word what the pure twin gives,
leaves no garbage, and stays within 32 bits wherever the limbs may be.
"""

import gc
import sys
from array import array

from protocol import limbs
from protocol.field25519 import CODE, P, new_registers, register_bytes

MICROPYTHON = sys.implementation.name == "micropython"
RUN, CHOOSE, LOAD, STORE, BLOCK = CODE
SHORT = 4098
# The most that a product, and that each carried sum, may be given: a and b in times of SHORT.
WORST = ((limbs.MULTIPLY, 2, 3), (limbs.MULTIPLY, 6, 1), (limbs.SQUARE, 2, 1), (limbs.ADD_TWICE, 2, 2))
WORST += ((limbs.CARRIED_DIFFERENCE, 3, 3), (limbs.ADD_A24, 1, 2))


class Chance:
    """The same numbers on every interpreter."""

    def __init__(self):
        self.state = 25519

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n


def fill(registers, register, chance, bound):
    """Random limbs up to `bound`, now and then all of them at it."""
    kind = chance.below(4)
    for i in range(20 * register, 20 * register + 20):
        if kind == 0:
            registers[i] = bound
        elif kind == 1:
            registers[i] = -bound
        elif kind == 2:
            registers[i] = bound - 2 * bound * chance.below(2)
        else:
            registers[i] = chance.below(2 * bound + 1) - bound


def value(registers, register):
    return sum([registers[20 * register + i] << (13 * i) for i in range(20)])


def expected(op, a, b, power):
    if op == limbs.MULTIPLY:
        return a * b
    if op == limbs.SQUARE:
        for _ in range(power):
            a = a * a % P
        return a
    return a + {limbs.ADD_TWICE: 2, limbs.CARRIED_DIFFERENCE: -1, limbs.ADD_A24: 121665}[op] * b


def test_products_and_carried_sums():
    chance = Chance()
    for op, times_a, times_b in WORST:
        for n in range(24):
            power = 1 + n % 3
            mine, pure = new_registers(8), new_registers(8)
            fill(mine, 5, chance, times_a * SHORT)
            fill(mine, 6, chance, times_b * SHORT)
            for i in range(len(mine)):
                pure[i] = mine[i]
            a, b = value(mine, 5), value(mine, 6)
            for registers, run in ((mine, RUN), (pure, limbs.limb_run)):
                run(registers, bytes((op, 7, 5, power if op == limbs.SQUARE else 6, 0)))
                assert (value(registers, 7) - expected(op, a, b, power)) % P == 0
                assert (value(registers, 5), value(registers, 6)) == (a, b)
                for limb in registers[140:160]:
                    assert -SHORT <= limb <= SHORT
            # 0 to 2 are work
            assert list(mine[60:]) == list(pure[60:])


def test_results_may_take_the_place_of_what_they_are_made_of():
    chance = Chance()
    for op, _, _ in WORST:
        for d, a, b in ((5, 5, 6), (6, 5, 6), (5, 5, 5)):
            registers = new_registers(8)
            fill(registers, 5, chance, SHORT)
            fill(registers, 6, chance, SHORT)
            x, y = value(registers, a), value(registers, b)
            RUN(registers, bytes((op, d, a, 2 if op == limbs.SQUARE else b, 0)))
            assert (value(registers, d) - expected(op, x, y, 2)) % P == 0


def test_sums_differences_and_exchanges():
    chance = Chance()
    for run in (RUN, limbs.limb_run):
        for flag in (0, 1):
            registers = new_registers(9)
            fill(registers, 5, chance, 3 * SHORT)
            fill(registers, 6, chance, 3 * SHORT)
            a, b = value(registers, 5), value(registers, 6)
            registers[limbs.FLAG] = flag
            run(registers, bytes((limbs.ADD, 7, 5, 6, limbs.SUBTRACT, 8, 5, 6, limbs.SWAP, 5, 6, 0, 0)))
            assert (value(registers, 7), value(registers, 8)) == (a + b, a - b)
            assert (value(registers, 5), value(registers, 6)) == ((b, a) if flag else (a, b))


def test_to_bytes_and_back():
    """Fully reduced, from wherever sums and differences may have brought it."""
    for n in (0, 1, 18, 19, 20, P - 20, P - 1, P, P + 1, P + 18, 1 << 254, (1 << 255) - 1):
        registers = new_registers(6)
        for load, store in ((LOAD, STORE), (limbs.limb_load, limbs.limb_store)):
            out = bytearray(32)
            load(registers, 5, n.to_bytes(32, "little"))
            assert value(registers, 5) == n
            store(registers, 5, out)
            assert bytes(out) == (n % P).to_bytes(32, "little")
            assert value(registers, 5) == n % P
    chance = Chance()
    for high in (1, 2, 9, 60):
        for _ in range(12):
            registers = new_registers(6)
            fill(registers, 5, chance, high * SHORT)
            copy = array("i", registers)
            reduced = (value(registers, 5) % P).to_bytes(32, "little")
            out = bytearray(32)
            limbs.limb_store(copy, 5, out)
            assert bytes(register_bytes(registers, 5)) == reduced == bytes(out)
            assert copy == registers


def test_every_entry_of_a_table_can_be_chosen():
    chance = Chance()
    table = bytes([chance.below(256) for _ in range(960)])
    for wanted in range(8):
        entry = [table[120 * wanted + 2 * i] | table[120 * wanted + 2 * i + 1] << 8 for i in range(60)]
        for choose in (CHOOSE, limbs.limb_choose):
            registers = new_registers(7)
            choose(registers, table, wanted)
            assert list(registers[80:]) == entry and not any(registers[:80])


def test_blocks_of_sha512():
    """Of any constants; that they are SHA-512's is in test_sha512.py."""
    chance = Chance()
    constants = bytes([chance.below(256) for _ in range(640)])
    mine = array("H", [0xFFFF] * 32)
    pure = array("H", mine)
    for n in range(3):
        block = bytes([255 if n == 0 else chance.below(256) for _ in range(128)])
        BLOCK(mine, array("H", [n] * 416), block, constants)
        limbs.sha512_block(pure, array("H", [0] * 416), block, constants)
        assert mine == pure


def test_native_code_is_in_use_where_it_compiles():
    compiles = False
    if MICROPYTHON:
        try:
            exec("import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x\n", {})
            compiles = True
        except SyntaxError:
            pass
    for function in (limbs.limb_run, limbs.limb_choose, limbs.limb_load, limbs.limb_store):
        assert (function in CODE) == (not compiles)


def test_no_garbage():
    if not MICROPYTHON or limbs.limb_run in CODE:
        return
    registers = new_registers(12)
    program = bytes((1, 7, 7, 8, 2, 7, 7, 9, 3, 7, 8, 0, 4, 9, 7, 8, 5, 9, 7, 8, 6, 9, 7, 8, 8, 9, 7, 8, 0))
    out = bytearray(32)
    state, work = array("H", bytes(64)), array("H", bytes(832))
    block, table = bytes(128), bytes(960)
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(20):
        RUN(registers, program)
        LOAD(registers, 7, out)
        STORE(registers, 7, out)
        CHOOSE(registers, table, 5)
        BLOCK(state, work, block, table)
    assert gc.mem_alloc() - before < 64


class Pointer:
    """A ptr8, ptr16 or ptr32 into a buffer, as of a 32-bit port; `int` gives its address and takes it."""

    buffers: "list[bytearray]" = []

    def __init__(self, size, of):
        if isinstance(of, int):
            self.buffer, self.at = Pointer.buffers[of >> 16], of & 0xFFFF
        elif isinstance(of, Pointer):
            self.buffer, self.at = of.buffer, of.at
        else:
            self.buffer, self.at = memoryview(of).cast("B"), 0
            Pointer.buffers.append(self.buffer)
        self.size = size

    def __int__(self):
        numbers = [n for n, buffer in enumerate(Pointer.buffers) if buffer is self.buffer]
        return (numbers[0] << 16) + self.at

    def _slice(self, i):
        at = self.at + self.size * i
        assert 0 <= at <= len(self.buffer) - self.size and at % self.size == 0
        return slice(at, at + self.size)

    def __getitem__(self, i):
        return int.from_bytes(self.buffer[self._slice(i)], "little", signed=self.size == 4)

    def __setitem__(self, i, value):
        value &= (1 << 8 * self.size) - 1
        self.buffer[self._slice(i)] = value.to_bytes(self.size, "little")


def emulated():
    """The functions of limbs_fast.py as Python executes them, with every result asserted to have 32 bits with
    its sign; and the worst of them.
    """
    import ast

    class Check(ast.NodeTransformer):
        def visit_BinOp(self, node):
            self.generic_visit(node)
            return ast.Call(ast.Name("_checked", ast.Load()), [node], [])

        def visit_AugAssign(self, node):
            self.generic_visit(node)
            read = ast.parse(ast.unparse(node.target), mode="eval").body
            value = ast.Call(ast.Name("_checked", ast.Load()), [ast.BinOp(read, node.op, node.value)], [])
            return ast.Assign([node.target], value)

        def visit_FunctionDef(self, node):
            """Its arguments become what they are declared to be."""
            self.generic_visit(node)
            node.decorator_list = []
            casts = [
                ast.parse(f"{arg.arg} = {arg.annotation.id}({arg.arg})").body[0] for arg in node.args.args
            ]
            node.body[1:1] = casts
            return node

    worst = [0]

    def _checked(value):
        worst[0] = max(worst[0], abs(value))
        assert -(1 << 31) <= value < 1 << 31, value
        return value

    path = limbs.__file__[:-3] + "_fast.py"
    with open(path) as f:
        tree = ast.parse(f.read())
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    scope = {"_checked": _checked, "const": int, "sys": sys, "__name__": "emulated"}
    for size in (1, 2, 4):
        scope["ptr%d" % (8 * size)] = lambda of, size=size: Pointer(size, of)
    exec(compile(ast.fix_missing_locations(Check().visit(tree)), path, "exec"), scope)
    scope["WORD_SHIFT"] = 0
    return scope, worst


def test_the_native_code_never_overflows():
    """With all limbs as large as they may be, of either sign, and some: 32 bits do, and give the same."""
    if MICROPYTHON:
        return
    scope, worst = emulated()
    chance = Chance()
    for op, times_a, times_b in WORST:
        for n in range(6):
            mine = new_registers(8)
            fill(mine, 5, chance, times_a * SHORT)
            fill(mine, 6, chance, times_b * SHORT)
            if n < 4:
                for i in range(20):
                    mine[100 + i] = times_a * SHORT * (n % 2 * 2 - 1)
                    mine[120 + i] = times_b * SHORT * (n // 2 * 2 - 1)
            pure = array("i", mine)
            program = bytes((op, 7, 5, 2 if op == limbs.SQUARE else 6, limbs.SWAP, 5, 6, 0, limbs.END))
            for registers, run in ((mine, scope["limb_run"]), (pure, limbs.limb_run)):
                registers[limbs.FLAG] = n % 2
                run(registers, program)
            assert mine[60:] == pure[60:]
    assert worst[0] > 2000000000  # the test reaches what it is about
    fill(mine, 5, chance, 60 * SHORT)
    pure = array("i", mine)
    blocks = b"\xff" * 128, b"\xff" * 640
    state = array("H", [0xFFFF] * 32), array("H", [0xFFFF] * 32)
    out = bytearray(32), bytearray(32)
    for n, code in enumerate((scope, vars(limbs))):
        code["limb_store"]((mine, pure)[n], 5, out[n])
        code["limb_load"]((mine, pure)[n], 6, b"\xff" * 32)
        code["limb_choose"]((mine, pure)[n], bytes(range(240)) * 4, 5)
        code["sha512_block"](state[n], array("H", [0] * 416), *blocks)
    assert mine[60:] == pure[60:] and out[0] == out[1] and state[0] == state[1]


def way(action):
    """Every instruction of the emulated code that `action` has executed, in order."""
    steps = []

    def trace(frame, event, _):
        if not frame.f_code.co_filename.endswith("limbs_fast.py"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            steps.append((frame.f_code.co_firstlineno, frame.f_lasti))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return steps


def test_the_native_code_goes_the_same_way_whatever_the_limbs():
    if MICROPYTHON:
        return
    scope, _ = emulated()
    chance = Chance()
    program = bytes((1, 7, 5, 6, 2, 8, 5, 2, 3, 5, 6, 0, 4, 7, 5, 6, 6, 7, 5, 6, 7, 7, 5, 6, 8, 7, 5, 6, 0))
    limits = 0, 1, SHORT, SHORT
    runs, stores, choices, blocks = [], [], [], []
    for n in range(4):
        registers = new_registers(9)
        fill(registers, 5, chance, limits[n])
        fill(registers, 6, chance, limits[n])
        registers[limbs.FLAG] = n % 2
        runs.append(way(lambda r=registers: scope["limb_run"](r, program)))
        stores.append(way(lambda r=registers: scope["limb_store"](r, 5, bytearray(32))))
        choices.append(way(lambda r=registers, n=n: scope["limb_choose"](r, bytes(960), 2 * n)))
        given = array("H", [chance.below(65536) for _ in range(32)]), array("H", [0] * 416)
        block = bytes([chance.below(256) for _ in range(128)])
        blocks.append(way(lambda g=given, b=block: scope["sha512_block"](g[0], g[1], b, bytes(640))))
    for ways in (runs, stores, choices, blocks):
        assert len(ways[0]) > 1000
        for other in ways[1:]:
            assert other == ways[0]
    longer = way(lambda: scope["limb_run"](registers, b"\x04\x07\x05\x06" + program))
    assert longer != runs[0]  # the comparison can fail


def test_constants_of_the_twins_agree():
    if MICROPYTHON:
        return
    scope, _ = emulated()
    found = [name for name in scope if name.isupper() and hasattr(limbs, name)]
    assert len(found) == 10
    for name in found:
        assert scope[name] == getattr(limbs, name), name
