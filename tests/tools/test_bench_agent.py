"""The agent's benchmark, short: what it counts is there, and nothing is lost."""

import json

from protocol import attest, crypto, frames, messages, seal
from protocol.identity import generate_steps
from tools.bench import agent, agent_backlog
from tools.bench.agent_frames import BOOTED_US, Sealer, bodies


def test_a_short_run_reports_every_figure(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(agent, "WARM_UP_S", 0.3)
    file = tmp_path / "report.json"
    options = ["--nodes", "4", "--rate", "60", "--seconds", "2", "--no-peer", "--fsync-ms", "2"]
    assert agent.main([*options, "--json", str(file)]) == 0, capsys.readouterr()
    found = json.loads(file.read_text())
    assert found["lost"] == found["duplicates"] == found["unacknowledged"] == 0 and not found["problems"]
    assert found["frames_per_s"] > 0 and found["cpu_us_per_frame"] > 0 and found["rss_mb"] > 10
    assert 0 < found["ack_ms"]["p50"] <= found["ack_ms"]["p99"]
    assert 0 < found["receipt_ms"]["p50"] <= found["receipt_ms"]["p99"]
    assert "frames/s durable and acknowledged" in capsys.readouterr().out


def test_a_short_backlog_is_delivered(tmp_path):
    found = agent_backlog.measure(600)
    assert found["lost"] == found["duplicates"] == 0 and found["times_real_time"] > 1


def test_the_load_is_sealed_and_attested_as_a_node_does_it():
    node, reader = (crypto.run(generate_steps(bytes([n]) * 64)) for n in (1, 2))
    sealer = Sealer(node, reader.id, reader.x_pub)
    plaintexts = []
    for n in range(attest.MAX_FRAMES):
        kind, body = bodies_of[n % 3][n % 30]
        seq, message = sealer.frame(kind, BOOTED_US + n, body)
        index, sealed = messages.split_data(message)
        opened, plaintext = sealer.keys.open(sealed)
        assert (index, opened) == (0, seq)
        assert frames.unpack(plaintext)[:2] == (kind, BOOTED_US + n)
        plaintexts.append(plaintext)
    assert sealer.attests
    seq, message = sealer.frame(frames.KIND_ATTEST, BOOTED_US, sealer.attestation())
    body = frames.unpack(sealer.keys.open(messages.split_data(message)[1])[1])[2]
    assert attest.verify(node.id, node.ed_pub, sealer.boot, body, plaintexts)
    agent_id, enc, wrapped = sealer.header
    assert agent_id == reader.id
    key = crypto.run(seal.unwrap_header_steps(enc, wrapped, sealer.boot, reader, node.id, node.x_pub))
    assert key == sealer.keys.K


bodies_of = bodies()
