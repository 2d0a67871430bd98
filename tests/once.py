"""What every process of a run would work out again is worked out once and kept for the run: boards' builds,
and Python's own bytecode where the environment has none written into the tree.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.recorder.site import build_cache, wire_recorder
from tests.run_folder import run_folder


def pytest_configure(config: pytest.Config) -> None:
    """Begin, or join in as a worker."""
    if not hasattr(config, "workerinput"):
        run = ExitStack()
        config.add_cleanup(run.close)
        folder = run.enter_context(run_folder("vitalwire-once", Path(tempfile.gettempdir())))
        os.environ[build_cache.FOLDER] = str(folder)
        if sys.dont_write_bytecode and sys.pycache_prefix is None:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(folder, "bytecode")
    build_cache.install(os.environ[build_cache.FOLDER], wire_recorder.on_import)
