"""The node application on the VM: from its first boot to an orderly stop, and through resets, strangers and
errors.
"""

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path
from statistics import median

from protocol import attest, frames, waveform
from protocol import session_events as ev
from protocol.identity import node_id

CLEAN, BOUND_S = 2, 3
FROM_MEMORY_S, FROM_FLASH_S = 1, 35


def codes(agent):
    """The codes of the newest boot's events, but for the pairing that a first boot begins with."""
    found = [body[frames.EVENT_CODE] for _, _, body in agent.of(frames.KIND_EVENT)]
    return [code for code in found if code != frames.EVENT_PAIRED]


def events(agent, code):
    """(number, t_us, body) of the events of that code in the newest boot."""
    return [found for found in agent.of(frames.KIND_EVENT) if found[2][frames.EVENT_CODE] == code]


def patched(tree: Path, folder: Path, code: str) -> Path:
    """A copy of a tree whose main.py runs `code` before the node."""
    copy = folder / "patched"
    shutil.copytree(tree, copy)
    main = (copy / "main.py").read_text()
    (copy / "main.py").write_text(
        main.replace(
            "run(Board(CONFIG), SENSORS, FEATURES)", code + "\nrun(Board(CONFIG), SENSORS, FEATURES)"
        )
    )
    return copy


def samples_of(agent):
    """What the frames of the newest boot hold, by channel; nothing may be missing."""
    received = {channel: [] for channel in (frames.CH_ECG, frames.CH_PPG_RED, frames.CH_PPG_IR)}
    for _, _, body in agent.of(frames.KIND_WAVE):
        assert frames.WAVE_MISSED not in body
        samples = waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
        received[body[frames.WAVE_CHANNEL]] += samples
    return received


def test_a_boot_from_hello_to_an_orderly_stop(make_node, make_agent):
    node = make_node()
    agent = make_agent(node.port)
    boot = agent.until(lambda: agent.of(frames.KIND_BOOT))[0]
    announced = next(event for event in agent.events if isinstance(event, ev.Announced))
    number, _, body = boot
    assert number == 0
    assert body[frames.BOOT_BOARD] == "virtual"
    assert node_id(*body[frames.BOOT_KEYS]) == announced.node_id
    assert body[frames.BOOT_RESET_CAUSE] == frames.RESET_POWER_ON
    assert body[frames.BOOT_INPUT] == node.label
    assert body[frames.BOOT_ENTROPY] == frames.ENTROPY_STRONG
    assert frames.BOOT_PREVIOUS not in body
    channels = [
        *([0, "MAX30003", 4000000, 3052], [1, "MAX30102", 10000000, 62], [2, "MAX30102", 10000000, 62]),
        [3, "MPRLS", 10000000, 1],
    ]
    assert body[frames.BOOT_CHANNELS] == channels

    agent.until(lambda: agent.of(frames.KIND_STATUS))
    assert agent.during(node.stop) == 0
    first = max(agent.frames)
    agent.whole()
    assert codes(agent) == [frames.EVENT_STOP]
    kind, _, _ = agent.frames[first][max(agent.frames[first])]
    assert kind == frames.KIND_ATTEST

    node.reset(hard=False)
    statement = agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))[0][2][
        frames.BOOT_PREVIOUS
    ]
    assert statement == [first, len(agent.frames[first]), True, 0]
    assert max(agent.frames)[:4] == b"\0\0\0\x02"


def test_time_goes_on_where_ticks_wrap(make_node, make_agent):
    """The VM's ticks_us starts 5 s before it wraps."""
    agent = make_agent(make_node().port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 8)
    agent.whole()
    # Whatever jumps at a wrap jumps by many minutes, or back to the beginning.
    end = 60_000_000
    seconds = [t_us for _, t_us, _ in agent.of(frames.KIND_VITALS)]
    assert 0 < seconds[0] < 5_000_000 < seconds[-1] < end
    assert all(700_000 < b - a < 1_300_000 for a, b in pairwise(seconds))
    waves = [w for w in agent.of(frames.KIND_WAVE) if w[2][frames.WAVE_CHANNEL] == frames.CH_ECG]
    gaps = [
        abs(after_us - t_us - body[frames.WAVE_COUNT] * 4000)
        for (_, t_us, body), (_, after_us, _) in pairwise(waves)
    ]
    # The first drains on a slow host are wide brackets; what follows from them is corrected soon.
    assert median(gaps) < 5_000 and max(gaps) < 50_000
    for echo in (event for event in agent.events if isinstance(event, ev.TimeEcho)):
        assert 0 <= echo.rx_us <= echo.tx_us < end


def test_what_arrives_is_what_the_fifos_gave(make_node, make_agent):
    node = make_node(speed=4)
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_STATUS)) >= 2)
    agent.during(node.stop)
    agent.whole()
    received = samples_of(agent)
    log = node.fifo_log
    assert received[frames.CH_ECG] == [code >> 3 for code in log.ecg.codes]
    assert received[frames.CH_PPG_RED] == list(log.ppg.red)
    assert received[frames.CH_PPG_IR] == list(log.ppg.infrared)
    assert len(received[frames.CH_ECG]) > 4900


HELD_UP = """
import time
from firmware.app import Node
each_second = Node._each_second
def held_up(self, second):
    each_second(self, second)
    wave = self.ecg.wave
    while second > 2 and not (wave.ready is not None and wave._filling.n >= 40 + second * 5 % 20):
        self.drain()
Node._each_second = held_up
drain = Node.drain
def late(self):
    time.sleep_ms(47)
    drain(self)
Node.drain = late
"""


def test_a_process_task_that_is_held_up_loses_and_repeats_no_sample(
    make_node, make_agent, virtual_tree, tmp_path
):
    """The buffers run out of room behind complete frames, at any moment between two drains."""
    node = make_node(tree=patched(virtual_tree, tmp_path, HELD_UP), speed=4)
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) >= 15)
    agent.during(node.stop)
    agent.whole()
    told = agent.of(frames.KIND_EVENT)
    assert codes(agent) == [frames.EVENT_STOP], told
    received = samples_of(agent)
    log = node.fifo_log
    assert received[frames.CH_ECG] == [code >> 3 for code in log.ecg.codes]
    assert received[frames.CH_PPG_RED] == list(log.ppg.red)
    assert received[frames.CH_PPG_IR] == list(log.ppg.infrared)


def test_everything_is_attested_but_the_last_attestation(make_node, make_agent):
    node = make_node(speed=4)
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_ATTEST)) >= 2)
    agent.during(node.stop)
    agent.whole()
    boot = max(agent.frames)
    ed_pub, x_pub = agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_KEYS]
    covered = 0
    for _, _, body in agent.of(frames.KIND_ATTEST):
        assert body[attest.FIRST] == covered
        plain = [agent.plain[boot][covered + i] for i in range(body[attest.COUNT])]
        assert attest.verify(node_id(ed_pub, x_pub), ed_pub, boot, body, plain)
        plain[0] = plain[0][:-1] + bytes((plain[0][-1] ^ 1,))
        assert not attest.verify(node_id(ed_pub, x_pub), ed_pub, boot, body, plain)
        covered += body[attest.COUNT]
    assert covered == len(agent.frames[boot]) - 1


def test_a_reset_states_what_it_took(make_node, make_agent):
    # The second boot must end before its first reservation, which is due after 30 s.
    node = make_node(speed=1)
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) >= 3)
    first = max(agent.frames)
    agent.acking = False
    agent.run(2)
    node.reset(hard=True)
    agent.acking = True
    body = agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))[0][2]
    boot_id, known_next, clean, bound_s = body[frames.BOOT_PREVIOUS]
    assert body[frames.BOOT_RESET_CAUSE] == frames.RESET_HARD
    assert (boot_id, clean, bound_s) == (first, False, FROM_MEMORY_S)
    assert known_next >= max(agent.frames[first]) + 1

    second = max(agent.frames)
    node.power_cycle()
    body = agent.until(lambda: len(agent.frames) == 3 and agent.of(frames.KIND_BOOT))[0][2]
    assert body[frames.BOOT_RESET_CAUSE] == frames.RESET_POWER_ON
    assert body[frames.BOOT_PREVIOUS] == [second, 0, False, FROM_FLASH_S]


def test_flash_that_refuses_the_boot_counter_stops_every_seal(make_node, make_agent, tmp_path):
    flash = tmp_path / "node"
    flash.mkdir()
    (flash / "state").write_text("a file where the folder should be")
    node = make_node()
    agent = make_agent(node.port)
    agent.until(lambda: any(isinstance(event, ev.Refused) for event in agent.events))
    assert {event.code for event in agent.events if isinstance(event, ev.Refused)} == {7}
    agent.run(6)
    assert agent.frames == {} and not any(isinstance(event, ev.Announced) for event in agent.events)
    (flash / "state").unlink()
    (flash / "state").mkdir()
    agent.until(lambda: agent.of(frames.KIND_BOOT))
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    agent.whole()
    texts = [body[frames.EVENT_TEXT] for _, _, body in events(agent, frames.EVENT_INTERNAL_ERROR)]
    assert [text.split(":")[0] for text in texts] == ["seed", "identity"] and node.resets == 0


def test_a_second_agent_needs_the_button_and_a_ninth_finds_no_room(make_node, make_agent):
    node = make_node()
    first = make_agent(node.port)
    first.until(lambda: first.of(frames.KIND_BOOT))
    first.close()

    def ask(agent):
        agent.session.request_pairing(bytes(16))
        return agent.until(lambda: [e for e in agent.events if isinstance(e, (ev.PairReply, ev.Refused))])[-1]

    second = make_agent(node.port)
    second.pairing = False
    refused = ask(second)
    assert isinstance(refused, ev.Refused) and refused.code == 5
    node.bench.pins["BUTTON"] = 1
    second.events.clear()
    assert isinstance(ask(second), ev.PairReply)
    second.until(lambda: second.of(frames.KIND_VITALS))
    mine = second.identity.id.hex()
    second.until(
        lambda: mine in [one[2][frames.EVENT_TEXT] for one in events(second, frames.EVENT_PAIRED)],
    )
    second.close()
    for place in range(3, 10):
        another = make_agent(node.port)
        another.pairing = False
        assert isinstance(ask(another), ev.PairReply if place < 9 else ev.Refused), place
        another.close()
    node.bench.pins["BUTTON"] = 0
    node.reset(hard=True)
    again = make_agent(node.port, first.identity)
    again.known.update(first.known)
    again.until(lambda: again.of(frames.KIND_BOOT))


def test_a_lead_that_comes_off_is_told(make_node, make_agent):
    node = make_node(speed=4)
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 3)
    node.patient.lead_off = True
    agent.until(lambda: frames.EVENT_LEAD_OFF in codes(agent))
    agent.until(
        lambda: agent.of(frames.KIND_VITALS)[-1][2].get(frames.VITALS_FLAGS, 0) & frames.VITALS_LEAD_OFF
    )
    assert frames.VITALS_HR not in agent.of(frames.KIND_VITALS)[-1][2]
    node.patient.lead_off = False
    agent.until(lambda: frames.EVENT_LEAD_ON in codes(agent))


DIES = """
from firmware.app import Node
each_second = Node._each_second
def dies(self, second):
    if second == 3:
        self.clock.seconds
        raise ValueError("a bug")
    each_second(self, second)
Node._each_second = dies
"""


def test_a_task_that_dies_is_told_and_starts_again(make_node, make_agent, virtual_tree, tmp_path):
    node = make_node(tree=patched(virtual_tree, tmp_path, DIES))
    agent = make_agent(node.port)
    agent.until(lambda: frames.EVENT_INTERNAL_ERROR in codes(agent))
    body = next(
        b for _, _, b in agent.of(frames.KIND_EVENT) if b[frames.EVENT_CODE] == frames.EVENT_INTERNAL_ERROR
    )
    assert (
        body[frames.EVENT_TEXT].startswith("process: ValueError at ") and "a bug" in body[frames.EVENT_TEXT]
    )
    assert body[frames.EVENT_PRIORITY] == frames.PRIORITY_HIGH
    readings = len(agent.of(frames.KIND_VITALS))
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > readings + 2)
    told = [b.get(frames.EVENT_TEXT) for _, _, b in agent.of(frames.KIND_EVENT)]
    assert codes(agent).count(frames.EVENT_INTERNAL_ERROR) == 1, told
    assert node.resets == 0


BREAKS = """
import os
from protocol.outbox import Outbox
add = Outbox.add
def breaks(self, seq, *rest):
    # Not before an agent has something of this boot.
    if seq >= 12 and not self.holds(0) and os.getenv("VITALWIRE_RESET_CAUSE") == "1":
        raise MemoryError("no room for frame %d" % seq)
    add(self, seq, *rest)
Outbox.add = breaks
"""


def test_a_frame_made_by_half_ends_the_boot(make_node, make_agent, virtual_tree, tmp_path):
    """Its number is spent: were another frame sealed under it, two plaintexts would share a nonce."""
    node = make_node(tree=patched(virtual_tree, tmp_path, BREAKS))
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 2)
    assert node.resets == 1
    first = min(agent.frames)
    spent = int((tmp_path / "node.log").read_text().split("no room for frame ")[1].split()[0])
    assert set(agent.frames[first]) <= set(range(spent))
    assert agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_PREVIOUS] == [first, spent, False, FROM_MEMORY_S]


HANGS = """
import os, time
from firmware.app import Node
each_second = Node._each_second
def hangs(self, second):
    # Not before an agent has something of this boot.
    while not self.sealer.box.holds(0) and os.getenv("VITALWIRE_RESET_CAUSE") == "1":
        time.sleep_ms(10)
    each_second(self, second)
Node._each_second = hangs
"""


def test_a_node_that_hangs_is_restarted_by_its_watchdog(make_node, make_agent, virtual_tree, tmp_path):
    node = make_node(tree=patched(virtual_tree, tmp_path, HANGS))
    agent = make_agent(node.port)
    body = agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))[0][2]
    assert body[frames.BOOT_RESET_CAUSE] == frames.RESET_WATCHDOG
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 2)
    assert node.resets == 1


def test_nothing_is_printed_into_the_link(make_node, make_agent, tmp_path):
    node = make_node()
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 2)
    agent.send(b"\x03\x04\x00print('no prompt here')\r\n\x00" + bytes(range(256)))
    readings = len(agent.of(frames.KIND_VITALS))
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > readings + 1)
    agent.during(node.stop)
    assert not [cause for cause in agent.session.rejected if cause.startswith("malformed")]
    assert (tmp_path / "node.log").read_text() == ""


def test_the_tree_that_ran_is_the_tree_of_the_manifest(virtual_tree):
    listed = json.loads((virtual_tree / "manifest.json").read_text())["files"]
    for path, facts in listed.items():
        data = (virtual_tree / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (facts["bytes"], facts["sha256"])
