"""What a CDDL validator says of the samples of a run."""

from dataclasses import dataclass
from pathlib import Path

from tests.protocol.cddl_schema import zcbor_why_not
from tests.recorder.site.wire_recorder import Samples


@dataclass(frozen=True)
class Wrong:
    """A sample that is not what the schema says."""

    rule: str
    where: str
    data: str
    why: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.data}\n  made by {self.where}\n  {self.why}"


@dataclass(frozen=True)
class Verdict:
    """Samples validated, by rule, and the wrong ones."""

    validated: dict[str, int]
    wrong: list[Wrong]


class _Chosen(Samples):
    """Of the samples of many processes, those that tell something new."""

    def __init__(self) -> None:
        super().__init__("")
        self.chosen: dict[tuple[str, str], str] = {}

    def _write(self, rule: str, where: str, data: bytes) -> None:
        self.chosen.setdefault((rule, data.hex()), where)


def judge(folder: Path) -> Verdict:
    """Validate the samples in `folder` by zcbor, each that tells something new once."""
    chosen = _Chosen()
    lines = dict.fromkeys(
        line for path in sorted(folder.glob("*.samples")) for line in path.read_text("utf-8").split("\n")[:-1]
    )
    where_of: dict[bytes, str] = {}
    for line in lines:
        parts = line.split("\t")
        # Half a line of a killed process may go on as another line, of one that has its number.
        if len(parts) == 3 and len(parts[2]) % 2 == 0:
            data = bytes.fromhex(parts[2])
            where_of.setdefault(data, parts[1])
            chosen.add(parts[0], data)
    chosen.flush()
    validated: dict[str, int] = {}
    wrong: list[Wrong] = []
    for rule, data in chosen.chosen:
        validated[rule] = validated.get(rule, 0) + 1
        why = zcbor_why_not(rule, bytes.fromhex(data))
        if why is not None:
            wrong.append(Wrong(rule, where_of[bytes.fromhex(data)], data, why))
    return Verdict(validated, wrong)
