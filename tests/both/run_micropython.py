"""Runs test files on the interpreter that executes this: `setup_module`, where there is one, then every
`test_*` function without arguments.

    micropython tests/both/run_micropython.py tests/both/test_x.py …

Prints `ok name` or `FAIL name` and the traceback for each, and exits with 1 when one failed or a file held
none.
"""

import gc
import sys


def _module(path):
    folder, _, name = path.rpartition("/")
    folder = folder or "."
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return __import__(name[:-3])


def _run(path):
    """(passed, failed) of one file."""
    module = _module(path)
    if hasattr(module, "setup_module"):
        module.setup_module()
    passed = failed = 0
    for name in sorted(dir(module)):
        test = getattr(module, name)
        if not name.startswith("test_") or not callable(test):
            continue
        gc.collect()
        try:
            test()
        except Exception as error:
            failed += 1
            print("FAIL", name)
            sys.print_exception(error, sys.stdout)
        else:
            passed += 1
            print("ok", name)
    return passed, failed


def main(paths):
    bad = not paths
    for path in paths:
        passed, failed = _run(path)
        print("%d passed, %d failed: %s" % (passed, failed, path))
        if failed or not passed:
            bad = True
    return 1 if bad else 0


if hasattr(gc, "threshold"):
    # What is let go is found often: the heap stays whole enough for the longest module to compile.
    gc.threshold(16384)
sys.exit(main(sys.argv[1:]))
