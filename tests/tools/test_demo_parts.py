"""The demo's parts that need no process."""

import io
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from edge_agent.ledger.ledger import Ledger, Row
from protocol import frames, waveform
from tools.collector import verify
from tools.demo import account, view
from tools.demo.command import _must_be_writable, command
from tools.demo.outcome import Outcome
from tools.demo.picture import save_picture
from tools.demo.processes import tail
from tools.demo.readings import SETTLED_US, STALE_S, STRIP_S, NodeReadings
from tools.demo.snapshot import Snapshot
from tools.demo.stack import agent_toml
from tools.demo.strip import draw


def boot(label="synthetic: a model", board="virtual"):
    body = {
        frames.BOOT_FIRMWARE: "0.1",
        frames.BOOT_BOARD: board,
        frames.BOOT_RESET_CAUSE: frames.RESET_POWER_ON,
        frames.BOOT_KEYS: [bytes(32), bytes(32)],
        frames.BOOT_INPUT: label,
        frames.BOOT_CHANNELS: [
            [frames.CH_ECG, "MAX30003", 4_000_000, 3052],
            [frames.CH_CUFF, "MPRLS", 10_000_000, 1],
        ],
        frames.BOOT_ENTROPY: frames.ENTROPY_STRONG,
    }
    return frames.pack(frames.KIND_BOOT, 0, body)


def wave(samples, t_us=0, channel=frames.CH_ECG, source: int | None = frames.SRC_SYNTHETIC, **more):
    body = {
        frames.WAVE_CHANNEL: channel,
        frames.WAVE_COUNT: len(samples),
        frames.WAVE_PERIOD_NS: 4_000_000,
        frames.WAVE_LSB: 3052,
        frames.WAVE_CODEC: more.get("codec", waveform.CODEC),
        frames.WAVE_DATA: more.get("data") or waveform.encode(samples, len(samples)),
    }
    if source is not None:
        body[frames.SOURCE] = source
    return frames.pack(frames.KIND_WAVE, t_us, body)


def vitals(t_us, hr=None, spo2=None, flags=0):
    body = {frames.VITALS_FLAGS: flags, frames.SOURCE: 2, frames.SOURCE_PPG: 2}
    if hr is not None:
        body[frames.VITALS_HR] = hr
    if spo2 is not None:
        body[frames.VITALS_SPO2] = spo2
    return frames.pack(frames.KIND_VITALS, t_us, body)


def cuff_wave(mmhg):
    body = frames.unpack(wave([0, round(mmhg * 133.322)], channel=frames.CH_CUFF))[2]
    body[frames.WAVE_PERIOD_NS], body[frames.WAVE_LSB] = 10_000_000, 1
    body[frames.WAVE_MEASUREMENT] = 1
    return frames.pack(frames.KIND_WAVE, 0, body)


def bp(result=frames.BP_MEASURED, **more):
    body = {
        frames.BP_RESULT: result,
        frames.BP_BEGAN_US: 5,
        frames.BP_PEAK: 1710,
        frames.BP_REASON: 1,
        frames.BP_NUMBER: 1,
        frames.SOURCE: frames.SRC_SYNTHETIC,
    }
    if result == frames.BP_MEASURED:
        body |= {
            frames.BP_SYSTOLIC: 1279,
            frames.BP_DIASTOLIC: 824,
            frames.BP_MEAN: 978,
            frames.BP_PULSE: 720,
        }
    return frames.pack(frames.KIND_BP, 9, body)


def reading(*plaintexts):
    node = NodeReadings(bytes(8))
    for plaintext in plaintexts:
        node.take(plaintext)
    return node


def shown(now, width=120):
    out = io.StringIO()
    Console(file=out, width=width).print(view.view(now, width))
    return out.getvalue()


def test_the_mean_heart_rate_begins_when_the_detector_has_settled():
    node = reading(
        vitals(SETTLED_US - 1, 1500),
        vitals(SETTLED_US, 700),
        vitals(SETTLED_US + 1),
        vitals(SETTLED_US + 2, 720),
    )
    assert node.hr_mean == 71.0
    assert node.hr == 72.0
    assert reading(vitals(5, 700)).hr_mean is None


def test_a_value_that_was_not_measured_is_a_dash_not_the_last_one():
    node = reading(vitals(1, 700, 970), vitals(2))
    assert (node.hr, node.spo2) == (None, None)
    assert "HR – /min" in shown(Snapshot(1, "x", [node]))


def test_the_strip_holds_the_last_seconds_in_microvolts():
    node = reading(*(wave([n] * 250, n * 1_000_000) for n in range(STRIP_S + 2)))
    assert len(node.ecg_uv) == STRIP_S * 250
    assert node.ecg_uv[-1] == pytest.approx((STRIP_S + 1) * 3.052)


@pytest.mark.parametrize("bad", [{"codec": 1}, {"codec": 9, "data": b"\xff"}, {"data": b"\xff"}])
def test_what_is_not_read_is_not_drawn_and_costs_nothing_else(bad):
    node = reading(boot(), wave([1] * 250), wave([2] * 250, **bad), wave([3] * 250), b"no frame at all")
    assert list(node.ecg_uv) == [pytest.approx(3 * 3.052)] * 250, "no line joins what is apart"
    assert (node.frames, node.unread) == (5, 2)
    assert node.sources == {"ECG": frames.SRC_SYNTHETIC}


def test_a_node_that_says_styles_and_escapes_is_shown_by_its_words(tmp_path):
    node = reading(boot(board="a[/b]c\x1b[2J", label="x\x1b"), wave([1] * 20))
    text = shown(Snapshot(1, "[/x] a recording", [node]))
    assert "(a[/b]c\\x1b[2J)" in text and "input: [/x] a recording" in text
    assert node.label == "x\\x1b"
    ended = Outcome(Ledger(()), verify.Report(), Snapshot(1, "[/x]"), 0, unproved=["said [/y] \x1b[2J"])
    out = io.StringIO()
    account.show(ended, Console(file=out, width=100))
    assert "PROBLEM said [/y] \\x1b[2J" in out.getvalue() and "input: [/x]" in out.getvalue()
    (tmp_path / "log").write_text("first\nlast \x1b[2J\n")
    assert tail(tmp_path / "log") == "first\nlast \\x1b[2J"


def test_a_blood_pressure_is_shown_from_the_cuff_to_the_summary():
    node = reading(boot(), cuff_wave(134))
    assert "BP cuff at 134 mmHg" in shown(Snapshot(1, "x", [node]))
    node.take(bp())
    node.take(cuff_wave(13))  # the end of its wave, overtaken by the result
    now = Snapshot(1, "x", [node])
    assert "BP 128/82 mmHg" in shown(now) and "BP 128/82" in view.line(now)
    assert "SYNTHETIC: blood pressure" in shown(now)
    ended = Outcome(Ledger(()), verify.Report(), now, 0)
    found = {"sys": 127.9, "dia": 82.4, "map": 97.8, "pulse": 72.0, "confidence": None}
    assert ended.summary()["bp"] == found
    assert not now.pressures_in, "it has no receipt yet"
    node.bp_receipted = True
    assert now.pressures_in


def test_a_refused_blood_pressure_says_why_and_ends_the_wait_too():
    node = reading(boot(), cuff_wave(134), bp(frames.BP_LEAK))
    now = Snapshot(1, "x", [node])
    assert "BP leak" in shown(now) and "mmHg" not in shown(now)
    assert Outcome(Ledger(()), verify.Report(), now, 0).summary()["bp"] == {"refused": "leak"}
    node.take(bp(77))
    assert "BP reason 77" in view.line(now)


def test_nobody_waits_for_a_cuff_that_is_not_there():
    node = reading(vitals(1, 700, 971))
    assert Snapshot(1, "x", [node]).pressures_in
    assert "BP" not in shown(Snapshot(1, "x", [node]))
    assert Outcome(Ledger(()), verify.Report(), Snapshot(1, "x", [node]), 0).summary()["bp"] is None


def test_what_is_synthetic_is_said_and_a_recording_is_not():
    model = Snapshot(
        1, "a model", [reading(boot(), wave([1] * 20), wave([1] * 20, channel=frames.CH_PPG_RED))]
    )
    assert model.synthetic
    assert "SYNTHETIC: ECG, pulse wave" in shown(model)
    replay = reading(wave([1] * 20, source=frames.SRC_REPLAY), wave([1] * 20, channel=frames.CH_PPG_RED))
    mixed = Snapshot(1, "a recording", [replay])
    assert not mixed.synthetic
    assert "SYNTHETIC: pulse wave" in shown(mixed)
    body = Snapshot(1, "sensors", [reading(wave([1] * 20, source=None))])
    assert not body.synthetic
    assert "SYNTHETIC" not in shown(body)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_view_fits_its_width(width):
    now = Snapshot(12, "a model", [reading(boot(), wave(list(range(-200, 300))), vitals(1, 700, 971, 31))])
    now.links = {"/dev/pts/1": "live"}
    text = shown(now, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("produced", "delivered", "pending", "evicted", "lost at reset", "batches receipted", "live"):
        assert word in text


@pytest.mark.parametrize("size", [(60, 15), (60, 24), (80, 15), (80, 24), (112, 20), (112, 40)])
@pytest.mark.parametrize("nodes", [1, 2])
def test_on_a_low_terminal_the_strip_gives_way_and_not_the_counters(size, nodes):
    width, height = size
    node = reading(boot(), wave(list(range(-200, 300))), vitals(1, 700, 971))
    now = Snapshot(12, "synthetic: ECG, pulse wave and arm from models", [node] * nodes)
    now.links = {f"/dev/pts/{n}": "live" for n in range(nodes)}
    now.totals = dict.fromkeys(now.totals, 123_456)
    out = io.StringIO()
    Console(file=out, width=width).print(view.view(now, width, height))
    lines = out.getvalue().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert out.getvalue().count("123,456") == 5
    for word in ("HR 70", "lost at reset", "batches receipted", "attestations proved", "live"):
        assert word in out.getvalue()
    if nodes == 1:
        assert any("\u2800" <= c <= "\u28ff" for c in out.getvalue())


def test_many_nodes_do_not_push_the_counters_off():
    now = Snapshot(12, "x", [reading(boot(), vitals(1, 700, 971))] * 16)
    out = io.StringIO()
    Console(file=out, width=80).print(view.view(now, 80, 24))
    assert "lost at reset" in "".join(out.getvalue().splitlines()[:12])


@pytest.mark.parametrize("width", [60, 80, 104, 160])
def test_the_ledger_can_be_read_on_any_terminal(width):
    node = "00112233aabbccdd"
    row = Row(node, "00", 3, True, 1_234_567, 1_234_567, *[0] * 10, clean=True, bound_s=None)
    ended = Outcome(Ledger((row,)), verify.Report(), Snapshot(9, "a model"), 1_234_567)
    out = io.StringIO()
    account.show(ended, Console(file=out, width=width))
    text = out.getvalue()
    assert text.count("1234567") >= 2
    for word in ("00112233aabbccdd", "delivered", "pending", "evicted", "duplicates", "balanced", "yes"):
        assert word in text


def test_a_line_for_pipes_has_everything():
    text = view.line(Snapshot(3.2, "x", [reading(vitals(1, 712, 969))], {"p": "live"}))
    for words in ("HR 71", "SpO2 96.9", "link live", "produced 0", "lost at reset 0", "receipted 0"):
        assert words in text


def test_a_strip_is_drawn_from_top_to_bottom():
    lines = draw([0.0] * 50 + [100.0] + [0.0] * 49, 40, 5, 10)
    assert len(lines) == 5
    assert all(len(line) == 40 for line in lines)
    assert lines[0].strip("\u2800")
    assert len(lines[0].strip("\u2800")) <= 2
    assert draw([], 3, 2, 10) == ["\u2800" * 3] * 2
    flat = draw([5.0] * 10, 10, 3, 100)
    assert flat[0] == flat[2] == "\u2800" * 10


def test_the_picture_names_no_host(tmp_path):
    save_picture(Snapshot(1, "x", [reading(boot(), wave([1] * 20))]), tmp_path / "view.svg")
    svg = (tmp_path / "view.svg").read_text()
    assert set(re.findall(r"https?://[^\"' )<]+", svg)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--record", "no/such/record/anywhere", "--seconds", "1"], "no such file"),
        (["--record", "x", "--model"], "exclude each other"),
        (["--seconds", "0"], "0"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(arguments, words):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("option", ["--summary", "--svg", "--keep"])
def test_an_output_that_cannot_be_written_is_said_before_the_run(tmp_path, option, monkeypatch):
    (tmp_path / "file").write_text("here first")
    monkeypatch.setattr("tools.demo.command.Stack", None)  # whoever starts one fails otherwise
    bad = str(tmp_path / "file" / "below")
    result = CliRunner().invoke(command, ["--model", "--seconds", "1", option, bad])
    assert result.exit_code == 2
    assert option in result.output
    assert "Not a directory" in result.output
    assert (tmp_path / "file").read_text() == "here first"


def test_trying_an_output_leaves_nothing_behind(tmp_path):
    (tmp_path / "old").write_text("kept")
    for name in ("new", "old"):
        _must_be_writable(tmp_path / name, "--svg")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "kept"


def test_an_old_reading_is_a_dash():
    node = NodeReadings(bytes(8))
    node.take(vitals(SETTLED_US, 700, 970), 100.0)
    node.age(100.0 + STALE_S)
    assert (node.hr, node.spo2) == (70, 97)
    node.age(100.1 + STALE_S)
    assert (node.hr, node.spo2, node.hr_mean) == (None, None, 70)
    node.take(vitals(SETTLED_US + 1, 710), 110.0)
    assert node.hr == 71


def test_before_the_first_frame_the_rig_says_what_is_synthetic():
    assert Snapshot(0, "a model", synthetic_input=True).synthetic
    assert not Snapshot(0, "a recording").synthetic
    replay = reading(wave([1] * 20, source=frames.SRC_REPLAY))
    assert not Snapshot(1, "x", [replay], synthetic_input=True).synthetic


def test_an_interrupted_start_is_called_so():
    ended = Outcome(Ledger(()), verify.Report(), Snapshot(0, "a model", synthetic_input=True), 0)
    assert not ended.good
    assert ended.summary()["synthetic"] is True
    out = io.StringIO()
    account.show(ended, Console(file=out, width=100))
    assert "interrupted before the first frame" in out.getvalue()
    assert "a model (SYNTHETIC)" in out.getvalue()
    assert "BALANCE" not in out.getvalue()


def test_a_folder_may_have_any_name():
    folder = Path('/tmp/a "b" \\c é')
    read = tomllib.loads(
        agent_toml(folder, folder / "x.pub", "mqtt://127.0.0.1:1", ["/dev/pts/1", "/dev/pts/2"])
    )
    assert read["agent"]["state_dir"] == str(folder) and read["collector"]["public"] == str(folder / "x.pub")
    assert [link["port"] for link in read["links"]] == ["/dev/pts/1", "/dev/pts/2"]
