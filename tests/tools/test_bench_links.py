"""The benchmark of the links reckons from what the agent said, and refuses what it cannot measure."""

import tomllib
from pathlib import Path

import pytest

from edge_agent import config
from tools.bench import links
from tools.bench.agent_rig import Failed
from tools.bench.links import Scene, Seen


def test_rates_are_between_the_first_frames_and_the_last() -> None:
    seen = [Seen(5000, 2000, 100, 30_000), Seen(7000, 2010, 900, 200_000), Seen(15_000, 2040, 2035, 430_000)]
    assert links.rates(seen) == {
        "frames": 1935,
        "seconds": 10.0,
        "frames_per_s": 193.5,
        "bytes_per_s": 40_000,
        "bytes_per_frame": 207,
        "left_over": 5,
    }
    with pytest.raises(Failed, match="more --minutes"):
        links.rates(seen[:1])


@pytest.mark.parametrize("over", links.LINKS)
def test_an_agent_with_that_link_alone(tmp_path: Path, over: str) -> None:
    with Scene(tmp_path, tmp_path / "kit", over, 75) as scene:
        text = scene.config.read_text()
        parsed = config.parse(text, scene.config)
        assert parsed.tcp is not None and parsed.tcp.per_node_frames_s == 75
        assert (parsed.ble is not None) == (over == "ble") and not parsed.links
        assert tomllib.loads(text)["tcp"]["mdns"] == "always"


def test_what_it_cannot_measure(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--over", "carrier-pigeon"], ["--minutes", "0"], ["--share", "-1"]):
        with pytest.raises(SystemExit) as ended:
            links.main(words)
        assert ended.value.code == 2
    assert "there are tcp, ble" in capsys.readouterr().err
