"""A real agent under attack over TCP: its memory is bounded, and an honest node is served all the while.

HOSTILE_FRAMES: how many frames an unknown node sends; 100 000 unless it is set (`make hostile`: 1 000 000).
"""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.edge_agent.fakes import FakeNode
from tests.edge_agent.hostile import Besieged, heard_out, hello_of, sealed_frames
from tests.edge_agent.running import PATIENCE_S, wait_until
from tests.edge_agent.test_tcp import Dial

FRAMES = int(os.environ.get("HOSTILE_FRAMES", "100000"))
# One connection takes no more before somebody has proved himself: links/tcp.py, STRANGER_BYTES.
FRAMES_A_CONNECTION = 900
MOST_KB = 24_000


def test_a_flood_of_frames_and_hellos_of_nobody(tmp_path):
    """Eight at a time, as fast as they can, each connection under another name."""
    frames = sealed_frames(FRAMES_A_CONNECTION)
    hellos = b"".join(hello_of(n) for n in range(400))
    with Besieged(tmp_path, tcp="per_node_frames_s = 100000") as besieged:

        def attack(n: int) -> None:
            with besieged.connect() as stranger:
                try:
                    stranger.sendall(hello_of(n) + frames)
                    stranger.shutdown(socket.SHUT_WR)
                except ConnectionError:
                    return
                heard_out(stranger)

        def introduce(n: int) -> None:
            with besieged.connect() as stranger:
                try:
                    stranger.sendall(hellos)
                    stranger.shutdown(socket.SHUT_WR)
                except ConnectionError:
                    return
                heard_out(stranger)

        with besieged.bounded(MOST_KB), ThreadPoolExecutor(8) as pool:
            began = time.monotonic()
            connections = -(-FRAMES // FRAMES_A_CONNECTION)
            list(pool.map(attack, range(connections)))
            list(pool.map(introduce, range(20)))
            took_s = time.monotonic() - began
            wait_until(lambda: besieged.rejected("no_session") >= 0.99 * FRAMES, "the frames were seen")
        print(f"{FRAMES} frames of nobody in {took_s:.1f} s")
        assert len(besieged.kit.status["unpaired"]) <= 32
        assert len(besieged.kit.status["nodes"]) == 1


def test_hundreds_who_dribble_bytes_keep_nobody_out(tmp_path):
    """More connections than there may be, a byte now and then on each, opened again whenever one is ended."""
    options = "hello_s = 1.0\nmax_connections = 150"
    late = FakeNode(Dial(), seed=2, rate=20)
    with Besieged(tmp_path, tcp=options) as besieged:
        late.agents = [besieged.kit.identity.public()]
        late.session.add_agent(*besieged.kit.identity.public())
        besieged.kit.pair(late)
        over = threading.Event()
        opened = [0]

        def dribble() -> None:
            slow: list[socket.socket] = []
            while not over.wait(0.05):
                while len(slow) < 300:
                    sock = besieged.connect()
                    sock.setblocking(False)
                    slow.append(sock)
                    opened[0] += 1
                for sock in list(slow):
                    try:
                        sock.send(b"\x05")
                        if not sock.recv(4096):
                            raise ConnectionError
                    except BlockingIOError:
                        continue
                    except OSError:
                        sock.close()
                        slow.remove(sock)
            for sock in slow:
                sock.close()

        with besieged.bounded(MOST_KB):
            dribbler = threading.Thread(target=dribble, daemon=True)
            dribbler.start()
            try:
                wait_until(lambda: besieged.rejected("tcp_full") >= 150, "there is no more room")
                wait_until(lambda: besieged.kit.status["tcp"]["connections"] <= 150, "nor is there ever")
                besieged.keeps_serving()
                # Whoever proves himself at once finds room among those who do not.
                late.pipe.address = ("127.0.0.1", besieged.port)
                with late:
                    wait_until(lambda: late.made and late.held < len(late.made) - 20, "the late one, too")
            finally:
                over.set()
                dribbler.join(PATIENCE_S)
            assert opened[0] > 300
        wait_until(lambda: besieged.kit.status["tcp"]["connections"] <= 2, "nothing of them is left")
