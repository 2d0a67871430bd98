"""A hand at the bench of software: `python soft_hand.py SOCKET WORD` has WORD done by soft_bench.py."""

import socket
import sys

with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    line.sendall(sys.argv[2].encode() + b"\n")
    said = line.makefile().readline().strip()
sys.exit(None if said == "done" else said or "the bench has ended")
