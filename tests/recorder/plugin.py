"""Everything that either side emits in a run is valid under protocol/vitalwire.cddl, or the run fails."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# A worker has had one since it started, as every process of a run: that is the one which its tests pause.
if "wire_recorder" in sys.modules:
    sys.modules["tests.recorder.site.wire_recorder"] = sys.modules["wire_recorder"]

from tests.recorder.site import wire_recorder
from tests.run_folder import run_folder

SITE = Path(wire_recorder.__file__).parent
_VERDICT = pytest.StashKey[Any]()
NOT_VALIDATED = "samples not validated: no zcbor"


def pytest_configure(config: pytest.Config) -> None:
    """Let this process, and by its environment all that it starts, keep samples."""
    if hasattr(config, "workerinput"):
        folder = os.environ[wire_recorder.FOLDER]
    else:
        run = ExitStack()
        config.add_cleanup(run.close)
        folder = str(run.enter_context(run_folder("vitalwire-recorder", Path(tempfile.gettempdir()))))
        os.environ[wire_recorder.FOLDER] = folder
        path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(SITE), *([path] if path else [])])
    if wire_recorder.samples is None:
        wire_recorder.install(folder)


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """A worker hands over its extremes; who began the run judges all samples."""
    assert wire_recorder.samples is not None
    wire_recorder.samples.flush()
    if not hasattr(session.config, "workerinput"):
        try:
            from tests.recorder.verdict import judge

            verdict = judge(Path(os.environ[wire_recorder.FOLDER]))
        except pytest.skip.Exception:
            session.config.stash[_VERDICT] = None
            return (yield)
        session.config.stash[_VERDICT] = verdict
        if verdict.wrong and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was validated, and what was wrong."""
    if _VERDICT not in config.stash:
        return
    verdict = config.stash[_VERDICT]
    if verdict is None:
        terminalreporter.line(NOT_VALIDATED)
    elif verdict.wrong:
        terminalreporter.section("emitted, but not as the schema says", red=True)
        for wrong in verdict.wrong[:20]:
            terminalreporter.line(str(wrong))
        terminalreporter.line(f"{len(verdict.wrong)} samples")
    elif verdict.validated:
        count = sum(verdict.validated.values())
        terminalreporter.line(f"{count} samples of {len(verdict.validated)} rules are valid under the schema")
