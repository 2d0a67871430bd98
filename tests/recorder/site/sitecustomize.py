"""Every CPython process that a test starts finds this first on its path (tests/recorder/plugin.py)."""

import os
import sys

if os.environ.get("VITALWIRE_RECORDER"):
    import wire_recorder

    wire_recorder.install(os.environ["VITALWIRE_RECORDER"])
    if os.environ.get("VITALWIRE_BUILDS"):
        import build_cache

        build_cache.install(os.environ["VITALWIRE_BUILDS"], wire_recorder.on_import)

# Another one further down the path runs as if this were not there.
import importlib.machinery
import importlib.util

_rest = [
    folder for folder in sys.path if os.path.abspath(folder) != os.path.dirname(os.path.abspath(__file__))
]
_spec = importlib.machinery.PathFinder.find_spec("sitecustomize", _rest)
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
