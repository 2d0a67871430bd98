"""Executed by the VM: what a node takes of an update, and what it refuses."""

import os

import update_kit
from update_kit import (
    BOARD,
    ROOT,
    Flash,
    Node,
    Whatever,
    boot,
    confirm,
    data,
    files_of,
    holds,
    id_of,
    mount,
    new_flash,
    offer,
    put,
    send,
    signed,
    unmount,
)

from firmware import slots
from firmware.version import VERSION
from protocol import frames, update

NEW = files_of("0.2.0")


def fresh(slot_files=None):
    unmount()
    mount(new_flash())
    return boot()[0]


def refused(objects, version="0.2.0", node=None):
    """(result, detail) of what stops it; nothing of it is in force then."""
    node = node or fresh()
    answer = send(node, objects, version)
    assert slots.read_choice(ROOT).trial == "-" and not node.restarted
    assert boot()[0].slot == "a"
    return answer[2], answer.get(3)


def test_an_update_from_offer_to_confirmation():
    node = fresh()
    assert node.slot == "a"
    objects = signed("0.2.0", NEW)
    answer = send(node, objects)
    assert answer[2] == frames.RESULT_DONE and node.restarted
    # What is the same in both versions was not sent.
    wanted = sum([(len(one) + 127) // 128 for one in objects]) - len(NEW["firmware/same.mpy"]) // 128
    assert update_kit.sent == wanted
    assert holds(NEW, "b")
    node, on_trial = boot()
    assert (node.slot, on_trial) == ("b", True)
    assert confirm(node) and node.events[-1][1] == frames.EVENT_UPDATED
    node, on_trial = boot()
    assert (node.slot, on_trial) == ("b", False)
    choice = slots.read_choice(ROOT)
    # The version that confirms is the one that this test runs on.
    assert (choice.confirmed, choice.trial, choice.floor) == ("b", "-", VERSION)
    # It runs: nothing to send.
    assert offer(node, objects)[2] == frames.RESULT_DONE
    # And the other way round.
    newer = signed("0.3.0", files_of("0.3.0"))
    assert send(node, newer, "0.3.0")[2] == frames.RESULT_DONE
    assert boot()[0].slot == "a"


def test_a_trial_that_nobody_confirms_ends_after_three_boots():
    assert send(fresh(), signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    assert [boot()[0].slot for _ in range(5)] == ["b", "b", "b", "a", "a"]
    choice = slots.read_choice(ROOT)
    assert (choice.confirmed, choice.trial, choice.left, choice.tried) == ("a", "b", 0, "0.2.0")


def test_nothing_is_written_over_while_on_trial():
    assert send(fresh(), signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    node, on_trial = boot()
    assert on_trial
    assert offer(node, signed("0.3.0", files_of("0.3.0")), "0.3.0")[2] == frames.RESULT_INTERLOCK
    assert holds(files_of("0.1.0"), "a")


def test_a_failed_version_may_be_sent_again():
    objects = signed("0.2.0", NEW)
    assert send(fresh(), objects)[2] == frames.RESULT_DONE
    for _ in range(4):
        node, _ = boot()
    assert node.slot == "a" and send(node, objects)[2] == frames.RESULT_DONE
    assert boot()[1]


def test_wrong_signature():
    objects = signed("0.2.0", NEW, BOARD, bytes(32))
    assert refused(objects)[0] == frames.RESULT_UNAUTHORISED
    changed = signed("0.2.0", NEW)
    changed[0] = changed[0][:-1] + bytes((changed[0][-1] ^ 1,))
    assert refused(changed)[0] == frames.RESULT_UNAUTHORISED


def test_no_maker():
    fresh()
    assert refused(signed("0.2.0", NEW), "0.2.0", Node("a", ()))[0] == frames.RESULT_UNAUTHORISED


def test_wrong_board_and_old_versions():
    assert refused(signed("0.2.0", NEW, "another"))[0] == frames.RESULT_UNSUPPORTED
    assert refused(signed("0.1.0", NEW), "0.1.0")[0] == frames.RESULT_UNSUPPORTED
    # The offer says another version than the manifest.
    assert refused(signed("0.0.9", NEW))[0] == frames.RESULT_UNSUPPORTED


def test_older_than_what_was_once_confirmed():
    node = fresh()
    assert send(node, signed("0.3.0", files_of("0.3.0")), "0.3.0")[2] == frames.RESULT_DONE
    # The firmware that runs in this test is 0.1.0, as after the cable brought that back.
    choice = slots.read_choice(ROOT)
    choice.floor, choice.trial = "0.3.0", "-"
    slots.write_choice(ROOT, choice)
    assert refused(signed("0.2.0", NEW), "0.2.0", boot()[0])[0] == frames.RESULT_UNSUPPORTED


def test_wrong_hashes():
    objects = signed("0.2.0", NEW)
    node = fresh()
    wrong = [objects[0], objects[1], b"x" * len(objects[2]), objects[3]]
    assert refused(wrong, "0.2.0", node)[0] == frames.RESULT_FAILED
    # What did not fit is sent anew, and nothing else.
    assert send(node, objects)[2] == frames.RESULT_DONE
    manifest = bytearray(objects[0])
    manifest[40] ^= 1
    node = fresh()
    answer = offer(node, objects)
    for at in range(0, len(manifest), 128):
        body = {1: id_of(objects), 2: 2, 4: 0, 5: at, 6: bytes(manifest[at : at + 128])}
        answer = node.say(body) or answer
    assert answer[2] == frames.RESULT_FAILED
    assert send(node, objects)[2] == frames.RESULT_DONE


def test_what_no_manifest_may_say():
    hash_ = bytes(32)
    for listed in (
        [["../start.py", 1, hash_]],
        [["/start.py", 1, hash_]],
        [["main.py", 1, hash_]],
        [["slots.py", 1, hash_]],
        [["state/agents.py", 1, hash_]],
        [["start.py", 1, hash_], ["start.py", 1, hash_]],
        [["start.py", 1 << 22, hash_]],
        [["start.py", 1]],
        [],
    ):
        result, detail = refused(signed("0.2.0", {}, BOARD, update_kit.MAKER, listed))
        assert result in (frames.RESULT_MALFORMED, frames.RESULT_FAILED), (listed, result, detail)
        assert sorted(os.listdir(ROOT)) == ["slot_a", "slot_b", "state"]


def test_a_manifest_that_is_too_long():
    node = fresh()
    for size in (0, update.MAX_MANIFEST + 1, 1 << 31):
        answer = node.say({1: bytes(8), 2: 1, 3: size, 7: "0.2.0"})
        assert answer[2] == frames.RESULT_FAILED


def test_no_room():
    files = files_of("0.2.0", [("big.mpy", bytes(60000)), ("large.mpy", bytes(70000))])
    assert refused(signed("0.2.0", files))[0] == frames.RESULT_FAILED


def test_malformed_messages():
    node = fresh()
    objects = signed("0.2.0", NEW)
    one = id_of(objects)
    malformed = frames.RESULT_MALFORMED
    assert node.say({1: one})[2] == malformed
    assert node.say({1: one, 2: 9})[2] == malformed
    assert node.say({1: one, 2: 1})[2] == malformed
    assert node.say({1: one, 2: 1, 3: "x", 7: 1})[2] == malformed
    assert node.say({1: one, 2: 1, 3: 100, 7: "new"})[2] == malformed
    assert node.say({1: one, 2: 2, 4: 0, 5: 0, 6: b"x"})[2] == frames.RESULT_EXPIRED
    assert node.say({1: one, 2: 3})[2] == frames.RESULT_EXPIRED
    assert offer(node, objects)[2] == frames.RESULT_BEGUN
    assert node.say({1: one, 2: 2, 4: 0, 5: 0, 6: b""})[2] == malformed
    assert node.say({1: one, 2: 2, 4: -1, 5: 0, 6: b"x"})[2] == malformed
    # More than the object has.
    assert node.say({1: one, 2: 2, 4: 0, 5: 0, 6: bytes(len(objects[0]) + 1)})[2] == malformed
    assert send(node, objects)[2] == frames.RESULT_DONE


def test_where_it_goes_on():
    node = fresh()
    objects = signed("0.2.0", NEW)
    assert offer(node, objects)[4] == 0
    # The eighth is answered; one astray at once, the next of them not.
    files = files_of("0.2.0", [("a.mpy", bytes(2000))])
    objects = signed("0.2.0", files)
    assert offer(node, objects)[4] == 0
    answer = None
    at = 0
    while answer is None or update.placed(answer[4])[0] == 0:
        answer = data(node, objects, 0, at)
        at += 128
    assert update.placed(answer[4]) == (1, 0)
    for n in range(7):
        assert data(node, objects, 1, 128 * n) is None
    assert update.placed(data(node, objects, 1, 896)[4]) == (1, 1024)
    assert update.placed(data(node, objects, 1, 1280)[4]) == (1, 1024)
    assert data(node, objects, 1, 1408) is None
    assert data(node, objects, 2, 0) is None
    assert data(node, objects, 1, 1024) is None
    # Offered again: nothing changes. What it has not yet cannot be applied.
    assert update.placed(offer(node, objects)[4]) == (1, 1152)
    assert update.placed(node.say({1: id_of(objects), 2: 3})[4]) == (1, 1152)
    # After another boot it goes on there.
    node.receiver.close_update()
    node = boot()[0]
    assert update.placed(offer(node, objects)[4]) == (1, 1152)
    assert send(node, objects)[2] == frames.RESULT_DONE


def test_part_of_a_manifest_outlives_a_boot_and_another_update():
    node = fresh()
    objects = signed("0.2.0", NEW)
    offer(node, objects)
    data(node, objects, 0, 0)
    node.receiver.close_update()
    node = boot()[0]
    assert offer(node, objects)[4] == 128
    others = signed("0.3.0", files_of("0.3.0"))
    assert offer(node, others, "0.3.0")[4] == 0
    assert send(node, others, "0.3.0")[2] == frames.RESULT_DONE


def test_cancelled():
    node = fresh()
    objects = signed("0.2.0", NEW)
    offer(node, objects)
    data(node, objects, 0, 0)
    assert node.say({1: id_of(objects), 2: 4})[2] == frames.RESULT_DONE
    assert node.say({1: id_of(objects), 2: 3})[2] == frames.RESULT_EXPIRED
    assert offer(node, objects)[4] == 0
    assert node.say({1: bytes(8), 2: 4})[2] == frames.RESULT_DONE


def test_not_while_somebody_needs_it():
    node = fresh()
    objects = signed("0.2.0", NEW)
    offer(node, objects)
    node.alarms.binding = True
    assert offer(node, objects)[2] == frames.RESULT_INTERLOCK
    node.alarms.binding = False
    offer(node, objects)
    node.alarms.binding = True
    # Said once, not for each that is on its way.
    assert data(node, objects, 0, 0)[2] == frames.RESULT_INTERLOCK
    assert data(node, objects, 0, 128) is None
    node.alarms.binding = False
    assert offer(node, objects)[4] == 0
    node.features["cuff"] = Whatever(inflated=True, fault=0)
    assert data(node, objects, 0, 0)[2] == frames.RESULT_INTERLOCK
    node.features["cuff"].inflated = False
    node.sensors.append(Whatever(driver=None, held=""))
    answer = send(node, objects)
    assert answer[2] == frames.RESULT_INTERLOCK and slots.read_choice(ROOT).trial == "-"
    node.sensors[0].driver = node
    assert send(node, objects)[2] == frames.RESULT_DONE


def test_what_came_onto_flash_wrong_is_found_before_it_runs():
    node = fresh()
    objects = signed("0.2.0", NEW)
    answer = offer(node, objects)
    while update.placed(answer[4])[0] < len(objects):
        item, offset = update.placed(answer[4])
        answer = data(node, objects, item, offset, 128) or answer
        if answer is None or update.placed(answer[4]) == (item, offset):
            answer = offer(node, objects)
    with open(ROOT + "slot_b/node.mpy", "r+b") as file:
        file.seek(100)
        file.write(b"\0")
    assert node.say({1: id_of(objects), 2: 3})[2] == frames.RESULT_FAILED
    assert boot()[0].slot == "a"
    assert send(node, objects)[2] == frames.RESULT_DONE and holds(NEW, "b")


def test_what_an_earlier_version_left_is_removed():
    node = fresh()
    put({"node.py": b"raise RuntimeError\n", "old/left.mpy": b"x"}, "b")
    assert send(node, signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    assert sorted(os.listdir(ROOT + "slot_b")) == ["firmware", "node.mpy", "old", "start.py", "update.cose"]


def test_the_record_of_the_slots():
    fresh()
    choice = slots.read_choice(ROOT)
    assert (choice.serial, choice.confirmed, choice.trial) == (1, "a", "-")
    choice.confirmed, choice.why = "b", "what went wrong, and a long text about it that goes on"
    slots.write_choice(ROOT, choice)
    # Either place will do; of two the newer.
    for place in slots.PLACES:
        with open(ROOT + place, "rb") as file:
            kept = file.read()
        for damaged in (b"", kept[:-1], kept[:9] + b"x" + kept[10:], b"\0" * len(kept)):
            with open(ROOT + place, "wb") as file:
                file.write(damaged)
            found = slots.read_choice(ROOT)
            assert (found.serial, found.confirmed) == (2, "b") and len(found.why) == slots.MAX_WHY
        with open(ROOT + place, "wb") as file:
            file.write(kept)
    # Neither: a slot with an entry.
    for place in slots.PLACES:
        with open(ROOT + place, "wb") as file:
            file.write(b"damaged")
    assert slots.read_choice(ROOT).confirmed == "a"
    os.remove(ROOT + "slot_a/start.py")
    assert slots.read_choice(ROOT).confirmed == "b"


def test_a_version_that_came_over_the_cable_is_confirmed():
    assert send(fresh(), signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    confirm(boot()[0])
    assert boot()[0].slot == "b"
    put(files_of("0.1.5"), "a")
    with open(ROOT + slots.FLASHED, "wb") as file:
        file.write(b"0.1.5\n")
    assert [boot()[0].slot for _ in range(2)] == ["a", "a"]
    assert slots.FLASHED not in os.listdir(ROOT)


def test_a_slot_without_an_entry_is_not_run():
    assert send(fresh(), signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    os.remove(ROOT + "slot_b/start.py")
    assert boot()[0].slot == "a"


def test_what_goes_back_is_the_version_that_ran_whatever_the_record_says():
    """The confirmed slot lost its entry, so the other one ran, and tries a version in that slot."""
    assert send(fresh(), signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    confirm(boot()[0])
    assert boot()[0].slot == "b"
    os.remove(ROOT + "slot_b/start.py")
    node, _ = boot()
    assert (
        node.slot == "a" and send(node, signed("0.3.0", files_of("0.3.0")), "0.3.0")[2] == frames.RESULT_DONE
    )
    assert [boot()[0].slot for _ in range(5)] == ["b", "b", "b", "a", "a"]


def test_flash_that_takes_no_writes_begins_no_trial():
    unmount()
    flash = new_flash()
    mount(flash)
    assert send(boot()[0], signed("0.2.0", NEW))[2] == frames.RESULT_DONE
    flash.left = 0
    assert boot()[0].slot == "a"
    assert isinstance(flash, Flash)
