"""The bytecode tree of the bridge board, on a VM with an ESP32's pins around it: hello, frames, heart rate,
stop.
"""

from protocol import frames


def test_a_bare_board_measures_through_the_bridge(bare_esp32, make_agent):
    bare_esp32.start()
    agent = make_agent(bare_esp32.port)
    agent.run(1.5)
    assert b"no answer from the bus bridge on UART2" in agent.raw
    bare_esp32.attach()
    boot = agent.until(lambda: agent.of(frames.KIND_BOOT))[0][2]
    assert boot[frames.BOOT_BOARD] == "esp32_bridge"
    assert boot[frames.BOOT_INPUT].startswith("synthetic")
    assert boot[frames.BOOT_ENTROPY] == frames.ENTROPY_STRONG
    rates = agent.until(
        lambda: [
            body[frames.VITALS_HR] for _, _, body in agent.of(frames.KIND_VITALS) if frames.VITALS_HR in body
        ],
        30,
    )
    assert 690 < rates[0] < 750
    status = agent.until(lambda: agent.of(frames.KIND_STATUS))[0][2]
    print("heap free", status[frames.STATUS_HEAP_FREE], "low", status[frames.STATUS_HEAP_LOW])
    assert status[frames.STATUS_HEAP_LOW] > 12000
    # Its chips run on the wall's clock: a busy host may make the node late, but not by much.
    assert status[frames.STATUS_MISSED] < 500
    for _, _, body in agent.of(frames.KIND_WAVE):
        assert body[frames.SOURCE] == frames.SRC_SYNTHETIC

    bare_esp32.bench.pins["STOP"] = 1
    assert agent.during(lambda: bare_esp32.wait(10)) == 0
    held = agent.frames[max(agent.frames)]
    assert sorted(held) == list(range(len(held)))
    assert bare_esp32.log() == ""


def test_the_bridge_may_go_and_come_again(bare_esp32, make_agent):
    bare_esp32.start()
    bare_esp32.attach()
    agent = make_agent(bare_esp32.port)
    agent.until(lambda: agent.of(frames.KIND_WAVE))
    bare_esp32.detach()

    def codes():
        return [body[frames.EVENT_CODE] for _, _, body in agent.of(frames.KIND_EVENT)]

    agent.until(lambda: codes().count(frames.EVENT_SENSOR_FAULT) == 2)
    bare_esp32.attach()
    agent.until(lambda: codes().count(frames.EVENT_SENSOR_RECOVERED) == 2, 30)
    waves = len(agent.of(frames.KIND_WAVE))
    agent.until(lambda: len(agent.of(frames.KIND_WAVE)) > waves + 2)
    missed = [body.get(frames.WAVE_MISSED, 0) for _, _, body in agent.of(frames.KIND_WAVE)]
    assert sum(missed) > 100
    held = agent.frames[max(agent.frames)]
    # Events overtake waveforms: the numbers close up as those arrive.
    agent.until(lambda: sorted(held) == list(range(len(held))))
