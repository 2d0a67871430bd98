"""The benchmarks count what they say they count, on recordings made here, and fail in words."""

import json
import math
import runpy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from boards.virtual.rig import RigError, find_micropython
from protocol import frames
from protocol import waveform as codec
from tools.bench import __main__ as bench
from tools.bench import command, frame_costs, names, wave_sources, waveform

SECONDS = 20


def heart(seconds: int = SECONDS, fs_hz: int = 360) -> np.ndarray:
    """72 upright complexes a minute of 1 mV on a slow wave, in units of 5 uV."""
    t = np.arange(seconds * fs_hz) / fs_hz
    phase = (t - 0.4) % (60 / 72)
    spike = 200 * np.exp(-(((phase - 0.2) / 0.02) ** 2))
    return np.round(spike + 10 * np.sin(t) + 3 * np.sin(37 * t)).astype(np.int64)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two records with two signals each, and beats where they are."""
    folder = tmp_path / "db"
    folder.mkdir()
    for name, shift in (("a", 0), ("b", 7)):
        both = np.stack([heart() + shift, -heart() // 2], axis=1)
        wfdb.wrsamp(
            name, 360, ["mV", "mV"], ["I", "V1"], d_signal=both, fmt=["16", "16"],
            adc_gain=[200.0, 200.0], baseline=[0, 0], write_dir=str(folder),
        )  # fmt: skip
        at = np.round((np.arange(0, SECONDS - 1, 60 / 72) + 0.6) * 360).astype(int)
        wfdb.wrann(name, "atr", at, symbol=["N"] * len(at), write_dir=str(folder))
    return folder


def report(tmp_path: Path, *argv: str) -> Any:
    file = tmp_path / "report.json"
    assert bench.main([*argv, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["machine"]["cores"] and found["machine"]["processor"]
    return found


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names.BENCHES)
    assert bench.main(["wawe"]) == 2 and "waveform" in capsys.readouterr().err


@pytest.mark.parametrize("name", names.BENCHES)
def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, why in ((tmp_path / "none" / "x.json", "No such file"), (tmp_path, "folder")):
        with pytest.raises(SystemExit) as stopped:
            bench.main([name, "--json", str(path)])
        said = capsys.readouterr()
        assert stopped.value.code == 2 and not said.out
        assert "--json" in said.err and why in said.err


# waveform


def test_waveform_counts_every_byte_of_every_block(database: Path, tmp_path: Path) -> None:
    found = report(tmp_path, "waveform", "--db", str(database), "--seconds", "3", "--jobs", "1")
    assert found["lossless"] is True and [row["record"] for row in found["records"]] == ["a", "b"]
    size = 0
    for shift in (0, 7):
        for signal in (heart() + shift, -heart() // 2):
            blocks = [signal[at : at + 1080].tolist() for at in range(0, len(signal), 1080)]
            size += sum(len(codec.encode(block, len(block))) for block in blocks)
    assert found["ours"]["bytes"] == size
    samples = 4 * SECONDS * 360
    assert found["ours"]["bits_per_sample"] == round(8 * size / samples, 4) and found["samples"] == samples
    for name in waveform.codecs(waveform.has_flac()):
        assert 0 < found[name]["bits_per_sample"] < 18 and found[name]["lossless"]


def test_waveform_takes_named_records_only(database: Path, tmp_path: Path) -> None:
    found = report(tmp_path, "waveform", "--db", str(database), "--records", "b", "--jobs", "1")
    assert [row["record"] for row in found["records"]] == ["b"] and found["seconds"] == 2


def test_waveform_goes_without_flac_and_says_so(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waveform, "has_flac", lambda: False)
    found = report(tmp_path, "waveform", "--db", str(database), "--records", "a", "--jobs", "1")
    assert "flac" not in found and not found["flac_available"]
    assert "pip install soundfile" in capsys.readouterr().err


def test_a_codec_that_loses_something_is_found(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = codec.decode
    monkeypatch.setattr(codec, "decode", lambda *block: honest(*block)[:-1])
    row = waveform.measure(database / "a", 2, False)
    assert not row["lossless"]["ours"] and row["lossless"]["zlib"]


def test_waveforms_that_are_no_recorded_ecg(tmp_path: Path, database: Path) -> None:
    cuff = tmp_path / "cuff"
    cuff.mkdir()
    lines = [f"{i / 1000:.6f} {0.71 + 0.2 * math.exp(-i / 9000):.6f} 0 0" for i in range(5005)]
    (cuff / "sample_1.dat").write_text("\n".join(lines) + "\n")
    found = report(
        tmp_path, "waveform", "--db", str(database), "--records", "a", "--jobs", "1", "--cuff", str(cuff)
    )
    assert {name: row["synthetic"] for name, row in found["other"].items()} == {
        "ppg": True, "max30003": True, "cuff": False
    }  # fmt: skip
    assert all(row["lossless"] and 0 < row["bits_per_sample"]["ours"] < 8 for row in found["other"].values())
    (pressure,) = wave_sources.cuff(cuff)
    assert len(pressure) == found["other"]["cuff"]["samples"] == 500
    assert abs(pressure[0] - 0.2 * 937.575 * 133.322) < 20 and found["other"]["cuff"]["rate_hz"] == 100
    assert found["decode"]["samples"] == 500 and found["decode"]["interpreted_us"] > 0


def test_flac_is_lossless_also_beyond_16_bits_and_leaves_out_what_nobody_needs() -> None:
    pytest.importorskip("soundfile")
    wide = (heart() * 300).astype(np.int32)[:, None]
    assert int(np.abs(wide).max()) >= 1 << 15 and waveform.flac(wide)[1]
    stream = b"fLaC" + b"\x00\x00\x00\x22" + bytes(34) + b"\x84\x00\x00\x05hello" + b"frames"
    assert waveform._flac_bytes(stream) == len(stream) - 9


@pytest.mark.parametrize("extra", [[], ["--records", "c"], ["--seconds", "0"]])
def test_waveform_refuses_in_words(
    tmp_path: Path, database: Path, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = database if extra else tmp_path
    with pytest.raises(SystemExit) as stopped:
        waveform.main(["--db", str(folder), *extra])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and ("record" in said or "--seconds" in said)


def test_a_damaged_record_is_named(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (database / "a.dat").write_bytes(b"\0" * 11)
    assert waveform.main(["--db", str(database), "--jobs", "1"]) == 1
    assert "recording" in capsys.readouterr().err


# protocol


def test_protocol_reports_every_stage(tmp_path: Path, vm: str) -> None:
    found = report(tmp_path, "protocol", "--frames", "300")
    stages = found["agent"]["us_per_frame"]
    assert list(stages)[-1] == "all" and len(stages) == 6 and min(stages.values()) > 0
    assert stages["all"] == pytest.approx(sum(list(stages.values())[:-1]), abs=1)
    assert set(found["node"]) == {"wave", "vitals", "status"}
    assert set(found["agent_frame"]) == {*found["node"], "long wave"}
    for row in found["agent_frame"].values():
        assert min(row[key] for key in ("cobs_us", "open_us", "session_us", "envelope_us", "decode_us")) > 0
    assert found["agent_frame"]["long wave"]["samples_us"] > 0
    assert found["node"]["wave"]["bytes"] == found["agent_frame"]["wave"]["bytes"]


def test_protocol_goes_without_a_vm(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def none() -> str:
        raise RigError("no MicroPython VM")

    monkeypatch.setattr(frame_costs, "find_micropython", none)
    assert frame_costs.main(["--frames", "50"]) == 0 and "left out: no MicroPython" in capsys.readouterr().err


@pytest.fixture(scope="module")
def vm() -> str:
    try:
        return find_micropython()
    except RigError as e:
        pytest.skip(str(e))


def test_what_a_node_pays(vm: str) -> None:
    costs = {name: typical for name, typical, _ in command.node_costs()}
    assert {"waveform_encode_250", "frame_seal", "attest_sign", "x25519"} <= set(costs) and min(
        costs.values()
    ) > 0


def test_the_wave_that_a_node_pays_for_is_of_the_codec_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []
    pack = frames.pack
    monkeypatch.setattr(frames, "pack", lambda *given: packed.append(pack(*given)) or packed[-1])
    monkeypatch.setattr(time, "ticks_us", lambda: 0, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda _, __: 0, raising=False)
    runpy.run_path(str(command.ROOT / command.NODE_COSTS))
    _, _, body = frames.unpack(packed[0])
    assert body[frames.WAVE_CODEC] == codec.CODEC
    assert len(codec.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])) == 250


# collector


def test_collector_counts_what_it_stored(tmp_path: Path) -> None:
    found = report(tmp_path, "collector", "--batches", "3")
    assert found["frames_per_s"] == pytest.approx(100 * found["batches_per_s"], rel=0.01)
