"""Executed by the VM: what it takes to check an update of 150 KB in 35 files, from the signature to the
last hash. Prints ms of CPU in all, and the longest step. The code is loaded before: a node reads bytecode,
and here are sources.
"""

import time

import update_kit
from update_kit import Node, boot, files_of, id_of, mount, new_flash, offer, put, signed

from firmware import slots
from protocol import ed25519, on_demand

on_demand.forget = lambda names: None
update_kit.BLOCK = 4096
update_kit.BLOCKS = 192

FILES = files_of("0.2.0", [("a%02d.mpy" % n, bytes(range(200)) * 22) for n in range(32)])
SIZE = sum([len(FILES[path]) for path in FILES])

mount(new_flash())
node, _ = boot()
# All of it is in the running version: nothing has to be sent but the manifest.
put(FILES, "a")
objects = signed("0.2.0", FILES)
answer = offer(node, objects)
at = 0
while answer is None or answer.get(4, 1 << 22) >> 22 == 0:
    answer = node.say({1: id_of(objects), 2: 2, 4: 0, 5: at, 6: objects[0][at : at + 128]}) or answer
    at += 128
    if at >= len(objects[0]):
        break
assert answer.get(4, 0) >> 22 == len(objects), answer
steps = node.receiver.take_steps({1: id_of(objects), 2: 3})
longest = total = 0
while True:
    began = time.ticks_us()
    try:
        next(steps)
    except StopIteration:
        break
    took = time.ticks_diff(time.ticks_us(), began)
    total += took
    longest = max(longest, took)
assert slots.read_choice(update_kit.ROOT).trial == "b" and isinstance(node, Node) and ed25519
print("%d bytes: %.1f ms, longest step %.2f ms" % (SIZE, total / 1000, longest / 1000))
