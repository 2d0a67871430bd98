"""For every test, whatever room it is in."""

pytest_plugins = ["tests.recorder.plugin", "tests.services"]
