"""What a command says, and ends with, when it was typed wrongly (2) and when it cannot (1)."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.cli import main


def ended(folder: Path, words: str) -> tuple[int, str]:
    """The exit status and what was said, in lines without the usage's. FOLDER in `words` is a folder."""
    typed = [word.replace("FOLDER", str(folder)) for word in words.split()]
    done = CliRunner(env={"XDG_DATA_HOME": str(folder), "HOME": str(folder)}).invoke(main, typed)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("move 5ae2", "give --to, or --cancel"),
        ("pair --authority a.pub --no-authorities", "contradict each other"),
        ("pair --no-authorities", "give --port"),
        ("update start 1.3.0 --then 5,a", "--then 5,a: percentages with commas between"),
        ("flash --port /dev/null --tree x --source", "--tree is a build already"),
        ("bench nope", "'nope' is not one of 'qrs'"),
        ("boards chek", "Did you mean 'check'?"),
    ],
)
def test_what_is_typed_wrongly_ends_with_2(tmp_path: Path, words: str, said: str) -> None:
    status, told = ended(tmp_path, words)
    assert status == 2 and told.startswith("Usage: ") and said in told
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("boards check nope", "no board 'nope'; there are: esp32_bridge"),
        ("build --board nope --out FOLDER/x", "no board 'nope'"),
        ("kit-demo --keep FOLDER/file/x", "cannot write FOLDER/file/x: Not a directory"),
        # Before anybody has to type a passphrase.
        ("release keygen FOLDER/file", "exists already; keys are never replaced"),
        (
            "release publish FOLDER/updates FOLDER/none.vwu --key FOLDER/file",
            "none.vwu cannot be read: No such",
        ),
        ("release sign FOLDER/none.vwu --key FOLDER/file", "none.vwu cannot be read: No such"),
        ("release keygen FOLDER/new.key", "nobody is here to type the passphrase: say --passphrase-file"),
    ],
)
def test_what_cannot_be_done_ends_with_1_and_one_line(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    status, told = ended(tmp_path, words)
    assert status == 1 and said.replace("FOLDER", str(tmp_path)) in told
    assert told.strip().removeprefix("Passphrase:").strip().count("\n") == 0
