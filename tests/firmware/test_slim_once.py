"""What only a start needs is given back after it, and nothing that runs later."""

import sys
import types

from tools.slim import slim

LIBRARY = """
class Part:
    def __init__(self, size):
        self.size = sized(size)

    def grow(self):
        self.size += 1
        return self.size

    def shrink(self):
        self.size -= 1

class Handed:
    def __init__(self):
        self.told = late

def sized(n):
    return n * 2

def late(n):
    return deeper(n)

def deeper(n):
    return -n

def steps(n):
    yield n
    yield last(n)

def last(n):
    return n + 100
"""
APP = """
from pack import lib
KINDS = {"handed": lib.Handed}

def give_back():
    from pack import starting
    starting.forget_start()

def run(after):
    part = lib.Part(4)
    kept = KINDS["handed"]().told
    going = lib.steps(1)
    part.shrink()
    give_back()
    found = [part.grow(), kept(3), next(going), next(going), KINDS["handed"]().told(2)]
    after(part)
    return found
"""
STARTING = """
def forget_start():
    pass
"""


def test_what_only_the_start_needs_is_gone_and_the_rest_goes_on(monkeypatch):
    sources = {"pack.lib": LIBRARY, "pack.app": APP, "pack.starting": STARTING}
    made = slim(sources, (), ["pack.app"], {"run"}, ["pack.starting"], "node")
    node, pack = types.ModuleType("node"), types.ModuleType("pack")
    starting = types.ModuleType("pack.starting")
    for name, module in (("node", node), ("pack", pack), ("pack.starting", starting)):
        monkeypatch.setitem(sys.modules, name, module)
    exec(made.bundle.text(), node.__dict__)
    exec(made.rare["pack.starting"].text(), starting.__dict__)
    monkeypatch.setattr(pack, "starting", starting, raising=False)
    seen = []
    before = {name for name, value in vars(node).items() if callable(value)}
    assert node.__dict__["run"](seen.append) == [8, -3, 1, 101, -2]
    gone = before - {name for name, value in vars(node).items() if callable(value)}
    assert len(gone) == 1, "sized"
    own = vars(type(seen[0]))
    methods = [own[name] for name in own if name != "__doc__" and (own[name] is None or callable(own[name]))]
    assert methods.count(None) == 2 and len(methods) == 3, "__init__ and shrink; grow is called later"
