"""What every process of a run would work out again is worked out once and kept for the run: boards' builds,
and Python's own bytecode where the environment has none written into the tree.
"""

import os
import shutil
import sys
import tempfile

import pytest

from tests.recorder.site import build_cache, wire_recorder


def pytest_configure(config: pytest.Config) -> None:
    """Begin, or join in as a worker."""
    if not hasattr(config, "workerinput"):
        folder = os.environ[build_cache.FOLDER] = tempfile.mkdtemp(prefix="vitalwire-once-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        if sys.dont_write_bytecode and sys.pycache_prefix is None:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(folder, "bytecode")
    build_cache.install(os.environ[build_cache.FOLDER], wire_recorder.on_import)
