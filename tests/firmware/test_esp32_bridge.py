"""The bytecode tree of the bridge board, on a VM with an ESP32's pins around it: hello, frames, heart rate,
stop.
"""

import os

from firmware.flash import Records
from protocol import cbor, crypto, frames, orders
from protocol.identity import generate_steps


def missed(agent):
    return sum(body.get(frames.WAVE_MISSED, 0) for _, _, body in agent.of(frames.KIND_WAVE))


def test_a_bare_board_measures_through_the_bridge(bare_esp32, make_agent):
    bare_esp32.start()
    agent = make_agent(bare_esp32.port)
    agent.until(lambda: b"no answer from the bus bridge on UART2" in agent.raw)
    bare_esp32.attach()
    boot = agent.until(lambda: agent.of(frames.KIND_BOOT))[0][2]
    assert boot[frames.BOOT_BOARD] == "esp32_bridge"
    assert boot[frames.BOOT_INPUT].startswith("synthetic")
    assert boot[frames.BOOT_ENTROPY] == frames.ENTROPY_STRONG

    def right():
        # Its chips run on the wall's clock: after a stall of the host the rate has to be found again.
        rates = [body.get(frames.VITALS_HR, 0) for _, _, body in agent.of(frames.KIND_VITALS)]
        return rates and 690 < rates[-1] < 750

    agent.until(right)
    status = agent.until(lambda: agent.of(frames.KIND_STATUS))[0][2]
    print("heap free", status[frames.STATUS_HEAP_FREE], "low", status[frames.STATUS_HEAP_LOW])
    assert status[frames.STATUS_HEAP_LOW] > 12000
    for _, _, body in agent.of(frames.KIND_WAVE):
        assert body[frames.SOURCE] == frames.SRC_SYNTHETIC

    bare_esp32.bench.pins["STOP"] = 1
    assert agent.during(bare_esp32.wait) == 0
    agent.whole()
    # What a busy host made it miss is in the account: samples and gaps fill the time from first to last.
    waves = [w for w in agent.of(frames.KIND_WAVE) if w[2][frames.WAVE_CHANNEL] == frames.CH_ECG]
    (_, first_us, _), (_, last_us, last) = waves[0], waves[-1]
    counted = sum(body[frames.WAVE_COUNT] + body.get(frames.WAVE_MISSED, 0) for _, _, body in waves) - waves[
        0
    ][2].get(frames.WAVE_MISSED, 0)
    due = (last_us - first_us) / 4000 + last[frames.WAVE_COUNT]
    print("counted", counted, "due", due, "missed", missed(agent))
    assert abs(counted - due) <= 5 + missed(agent) / 20
    assert bare_esp32.log() == ""


def test_the_bridge_may_go_and_come_again(bare_esp32, make_agent):
    bare_esp32.start()
    bare_esp32.attach()
    agent = make_agent(bare_esp32.port)
    agent.until(lambda: agent.of(frames.KIND_WAVE))

    def faulty():
        codes = [body[frames.EVENT_CODE] for _, _, body in agent.of(frames.KIND_EVENT)]
        return codes.count(frames.EVENT_SENSOR_FAULT) - codes.count(frames.EVENT_SENSOR_RECOVERED)

    before = missed(agent)
    bare_esp32.detach()
    agent.until(lambda: faulty() == 2)
    bare_esp32.attach()
    agent.until(lambda: faulty() == 0)
    agent.until(lambda: missed(agent) > before + 100)
    # Events overtake waveforms: the numbers close up as those arrive.
    agent.whole()


def test_what_is_seldom_needed_is_loaded_from_flash(bare_esp32, make_agent):
    """A crash record, and an order whose signature has to be verified: the heap has them back afterwards."""
    authority = crypto.run(generate_steps(os.urandom(64)))
    state = bare_esp32._flash / "state"
    state.mkdir(parents=True)
    records = Records(str(state))
    records.write("crash", cbor.dumps([bytes(12), 7, "Traceback " + 1000 * "x", None, 0]))
    records.write("authorities", cbor.dumps([list(authority.public())]))
    bare_esp32.start()
    bare_esp32.attach()
    agent = make_agent(bare_esp32.port)
    log = agent.until(lambda: agent.of(frames.KIND_LOG))[0][2]
    assert log[frames.LOG_BOOT] == bytes(12) and log[frames.LOG_UPTIME_S] == 7
    agent.until(lambda: not (state / "crash").exists())
    body = {frames.ORDER_ID: bytes(8), frames.ORDER_WHAT: frames.OP_MARK, frames.ORDER_ARGS: {1: "here"}}
    body |= {frames.ORDER_EXPIRES_US: 1 << 52, frames.ORDER_MS: 1}
    steps = orders.sign_steps(authority, agent.session.node_id, max(agent.frames), frames.KIND_COMMAND, body)
    agent.session.order(frames.KIND_COMMAND, crypto.run(steps))
    answer = agent.until(lambda: agent.of(frames.KIND_ANSWER))[0][2]
    assert answer[frames.ANSWER_RESULT] == frames.RESULT_DONE
    before = len(agent.of(frames.KIND_STATUS))
    status = agent.until(lambda: agent.of(frames.KIND_STATUS)[before:])[0][2]
    print("heap free", status[frames.STATUS_HEAP_FREE], "low", status[frames.STATUS_HEAP_LOW])
    assert status[frames.STATUS_HEAP_LOW] > 12000 and bare_esp32.log() == ""
