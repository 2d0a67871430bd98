"""A lock is let go of by who took it, and by nobody else."""

import os
import subprocess
import sys

import pytest

from edge_agent.lock import Locked, hold


@pytest.mark.skipif(os.name == "nt", reason="flock(2)")
def test_a_program_that_has_a_copy_of_it_keeps_no_lock_that_was_let_go_of(tmp_path):
    lock = hold(tmp_path / "lock")
    words = [sys.executable, "-c", "input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as other:
        lock.close()
        with hold(tmp_path / "lock"):
            pass
        other.communicate(b"\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork(2)")
def test_a_copy_lets_go_of_nothing(tmp_path):
    with hold(tmp_path / "lock") as lock:
        pid = os.fork()
        if not pid:
            lock.close()
            os._exit(0)
        os.waitpid(pid, 0)
        with pytest.raises(Locked, match=str(os.getpid())):
            hold(tmp_path / "lock")
    hold(tmp_path / "lock").close()


def test_closed_twice_it_is_let_go_of_once(tmp_path):
    first = hold(tmp_path / "lock")
    first.close()
    with hold(tmp_path / "lock"):
        first.close()
        with pytest.raises(Locked):
            hold(tmp_path / "lock")
