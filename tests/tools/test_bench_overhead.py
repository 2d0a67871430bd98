"""What is compared on the wire is the same content, and nothing of it is lost; a seal costs what is said."""

import json
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pytest

from protocol import cobs, frames
from tools.bench import __main__ as bench
from tools.bench import minute, overhead, renderings
from tools.bench.minute import Reading, Wave

SECONDS = 10
MAX_SEAL = 26


@pytest.fixture(scope="module")
def content() -> minute.Content:
    return minute.content(None, SECONDS)


def resolved(pack: "list[dict[Any, Any]]", labels: "dict[int, Any]") -> "list[tuple[str, Any, Any, Decimal]]":
    """(name, unit, time, value) of each record of a SenML pack (RFC 8428 §4.6)."""
    name, time, unit = "", Decimal(0), ""
    found: list[tuple[str, Any, Any, Decimal]] = []
    for record in pack:
        fields = {label: record[key] for label, key in labels.items() if key in record}
        assert len(fields) == len(record), record
        name, unit = fields.get(renderings.BN, name), fields.get(renderings.BU, unit)
        time = Decimal(fields.get(renderings.BT, time))
        found.append(
            (
                name + fields.get(renderings.N, ""),
                fields.get(renderings.U, unit),
                time + Decimal(fields.get(renderings.T, 0)),
                Decimal(fields[renderings.V]),
            )
        )
    return found


@pytest.mark.parametrize("form", ["senml_cbor", "senml_json"])
def test_senml_holds_the_same_content(content: minute.Content, form: str) -> None:
    for item in content.items:
        data = overhead.OTHERS[form](item)
        if form == "senml_cbor":
            got = resolved(cbor2.loads(data), {label: label for label in renderings.JSON_LABELS})
        else:
            got = resolved(json.loads(data, parse_float=Decimal), renderings.JSON_LABELS)
        begin = renderings.UNIX_S + Decimal(item.t_us) / 1_000_000
        if isinstance(item, Wave):
            name, unit, per = renderings.SIGNALS[item.channel]
            assert {one[:2] for one in got} == {(renderings.NAME + name, unit)}
            assert [round(value * per / item.lsb) for *_, value in got] == item.samples
            at_ns = [round((time - begin) * 10**9 / item.period_ns) for _, _, time, _ in got]
            assert at_ns == list(range(len(item.samples)))
            continue
        names = {entry[0]: (key, entry[1], entry[2]) for key, entry in renderings.READINGS[item.kind].items()}
        body: dict[int, Any] = {}
        for name, unit, time, value in got:
            key, expected, per = names[name.removeprefix(renderings.NAME)]
            assert unit == expected and abs(time - begin) < Decimal("0.000001")
            number = round(value * per)
            if isinstance(item.body[key], list):
                body.setdefault(key, []).append(number)
            else:
                body[key] = number
        assert body == item.body


def test_packed_binary_holds_the_same_content(content: minute.Content) -> None:
    wave = next(item for item in content.items if isinstance(item, Wave))
    data = renderings.raw(wave)
    kind, t_us, count, channel = struct.unpack_from(">BQHB", data)
    assert (kind, t_us, count, channel) == (2, wave.t_us, len(wave.samples), wave.channel)
    bits = f"{int.from_bytes(data[12:], 'big'):0{8 * (len(data) - 12)}b}"[-18 * count :]
    signed = [int(bits[at : at + 18], 2) for at in range(0, len(bits), 18)]
    assert [value - (1 << 18) if value >> 17 else value for value in signed] == wave.samples
    vitals = next(item for item in content.items if isinstance(item, Reading) and 2 in item.body)
    numbers = struct.unpack_from(">BQ4H2BHB", renderings.raw(vitals))
    keys = (1, 3, 4, 5, 6, 7, 8)
    assert numbers[:-1] == (3, vitals.t_us, *(vitals.body.get(key, 0) for key in keys))
    assert len(renderings.raw(vitals)) == 22 + 2 * numbers[-1]


def test_a_seal_adds_at_most_26_bytes() -> None:
    """To any plaintext, under any number, of any boot of a hello: header, Partial IV, tag, all of it."""
    most = 0
    for size in (1, 14, 15, 16, 17, 246, 247, 248, 249, 2000, frames.MAX_PLAINTEXT):
        for seq in (0, 1, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0xFFFFFFFF):
            for boot_index in (0, 15):
                added = len(overhead.sealed_message(bytes(size), seq, boot_index)) - size
                most = max(most, added)
                assert added <= MAX_SEAL
    assert overhead.seal_extremes()["most"] == most


@pytest.mark.parametrize("filler", [b"\xa5", b"\0", b"\0\xa5", b"\xa5" * 253 + b"\0", b"\xa5" * 254 + b"\0"])
def test_framing_adds_at_most_half_a_percent_and_two_bytes(filler: bytes) -> None:
    payload = filler * (frames.MAX_PLAINTEXT + MAX_SEAL)
    for size in range(1, frames.MAX_PLAINTEXT + MAX_SEAL + 1):
        encoded = len(cobs.encode(payload[:size]))
        assert encoded - size <= 2 + 0.005 * size
    assert len(cobs.encode(payload[: frames.MAX_PLAINTEXT + MAX_SEAL])) - 1 <= cobs.MAX_ENCODED


def test_every_byte_is_counted_once(content: minute.Content) -> None:
    found = overhead.measure(content)
    assert sum(found["split"].values()) == pytest.approx(found["ours"])
    assert found["split"]["seal"] * SECONDS >= 20 * found["frames"]
    waves = [item for item in content.items if isinstance(item, Wave)]
    assert sum(len(wave.samples) for wave in waves) == SECONDS * 450
    alone = sum(len(renderings.raw(item)) for item in content.items)
    assert found["others"]["raw"]["alone"] * SECONDS == alone
    assert found["ours"] < found["others"]["raw"]["sealed"] < found["others"]["senml_cbor"]["alone"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.json"
    assert bench.main(["overhead", "--seconds", "4", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["measured"][0]["seconds"] == 4 and found["seal_bytes"]["most"] <= MAX_SEAL
    said = capsys.readouterr().out
    assert "SenML-CBOR" in said and "packed binary" in said
    for seconds, words in (
        ("3", "even"),
        ("0", "from 2 to"),
        ("-2", "from 2 to"),
        ("100000000", "from 2 to"),
    ):
        with pytest.raises(SystemExit) as ended:
            bench.main(["overhead", "--seconds", seconds])
        assert ended.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_report_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["overhead", "--seconds", "2", "--json", "/dev/full"])
    said = capsys.readouterr()
    assert ended.value.code == 2 and "No space left" in said.err and "SenML" in said.out
