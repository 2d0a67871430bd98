"""Executed by the VM: the power goes at one write after the other of an update, from its offer to the
confirmation, or to the end of a trial that nobody confirms. After each, a whole version runs, and the update
goes on to its end.

Usage: cuts.py EVERY OFFSET; prints how many cuts there were.
"""

import sys

from update_kit import Flash, Node, boot, confirm, files_of, holds, mount, new_flash, send, signed, unmount

from firmware import slots, trial
from protocol import frames

OLD = files_of("0.1.0")
NEW = files_of("0.2.0", [("firmware/added.mpy", b"new" * 200)])
OBJECTS = signed("0.2.0", NEW)


def updated(node):
    """Until it restarts into the new version. An answer of failed flash: it goes on another time."""
    return node.slot == "b" or send(node, OBJECTS)[2] == frames.RESULT_DONE


def confirmed():
    """The whole way of an update that is good."""
    node, on_trial = boot()
    if node.slot == "a" and updated(node):
        node, on_trial = boot()
    if node.slot == "b" and on_trial:
        confirm(node)


def rolled_back():
    """The whole way of one that is never confirmed, and of the version before that tells so."""
    node, _ = boot()
    if node.slot == "a" and updated(node):
        for _ in range(4):
            node, _ = boot()
            choice = slots.read_choice("/f/")
            if node.slot == "a" and choice.trial != "-":
                told = trial.Told(node, choice)
                try:
                    told.run().send(None)
                except StopIteration:
                    pass


def whole(node):
    assert holds(NEW if node.slot == "b" else OLD, node.slot), "no whole version in slot " + node.slot


def one(image, way, cut, torn):
    """Whether the power was lost before the way's end."""
    flash = Flash(image)
    flash.left, flash.torn = cut, torn
    mount(flash)
    try:
        way()
    except OSError:
        pass
    lost = flash.left == 0
    unmount()
    flash.left = 1 << 30
    mount(flash)
    node, on_trial = boot()
    whole(node)
    for _ in range(8):
        if node.slot == "b" and (not on_trial or confirm(node)):
            break
        if node.slot == "a":
            assert updated(node), node.answers
        node, on_trial = boot()
        whole(node)
    assert boot()[0].slot == "b" and slots.read_choice("/f/").confirmed == "b"
    whole(Node("b"))
    unmount()
    return lost


def main(every, offset):
    image = new_flash().image
    for way in (confirmed, rolled_back):
        for torn in (False, True):
            done = 0
            cut = offset
            while one(image, way, cut, torn):
                done += 1
                cut += every
            print("%s%s: %d cuts of %d writes" % (way.__name__, ", torn" if torn else "", done, cut))


main(int(sys.argv[1]), int(sys.argv[2]))
