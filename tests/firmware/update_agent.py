"""An agent that updates its node, and trees of versions that are good or bad."""

from collections.abc import Iterator
from typing import Any

from hil_tests.updating import Sender
from protocol import bundle, crypto, frames
from protocol.bundle import Bundle
from protocol.identity import Identity, generate_steps
from tests.firmware.conftest import Agent
from tools import build, slot_tree

MAKER: Identity = crypto.run(generate_steps(bytes(range(64))))
# In the node's time.
STEADY_S = 10
TRIAL_S = 40


def tree(monkeypatch: Any, number: str) -> dict[str, bytes]:
    """A tree of sources with slots: the virtual board's, short trials."""
    real = build.read_board

    def read_board(name: str) -> build.Board:
        board = real(name)
        board.settings["update"] = {"slots": 2, "steady_s": STEADY_S, "trial_s": TRIAL_S}
        return board

    with monkeypatch.context() as patch:
        patch.setattr(build, "read_board", read_board)
        return build.make("virtual", "source", version=number, makers=[MAKER.ed_pub.hex()]).files


def signed(files: dict[str, bytes], number: str, **changed: str) -> Bundle:
    """A bundle of a tree; `changed`: text in front of a file, by its name without .py."""
    held = slot_tree.application(files)
    for name, text in changed.items():
        held[f"{name}.py"] = text.encode() + held[f"{name}.py"]
    return bundle.sign(bundle.make("virtual", number, held), MAKER)


class Updater(Sender):
    """Sends a bundle over an Agent's link."""

    def __init__(self, agent: Agent, one: Bundle) -> None:
        super().__init__(one, agent.session.order, lambda: agent.until(self._next))
        self.agent = agent
        self._seen = {key for key, _ in self._answers()}

    def _answers(self) -> Iterator[tuple[tuple[bytes, int], dict[int, Any]]]:
        for boot, held in list(self.agent.frames.items()):
            for seq in sorted(held):
                kind, _, body = held[seq]
                if kind == frames.KIND_ANSWER and body[frames.ANSWER_ID] == self.bundle.id:
                    yield (boot, seq), body

    def _next(self) -> dict[int, Any] | None:
        for key, body in self._answers():
            if key not in self._seen:
                self._seen.add(key)
                return body
        return None

    def ended(self) -> tuple[int, str]:
        """(code, text) of the event with which the trial of it ends."""
        version = self.bundle.version

        def event() -> tuple[int, str] | None:
            for held in list(self.agent.frames.values()):
                for kind, _, body in held.values():
                    text = body.get(frames.EVENT_TEXT, "") if kind == frames.KIND_EVENT else ""
                    told = text.startswith(version) and body[frames.EVENT_CODE]
                    if told in (frames.EVENT_UPDATED, frames.EVENT_ROLLED_BACK):
                        return told, text
            return None

        return self.agent.until(event, 240)


def running(agent: Agent) -> str:
    """The version of the newest boot that has said which it is."""
    newest = max(boot for boot in agent.frames if agent.of(frames.KIND_BOOT, boot))
    return agent.of(frames.KIND_BOOT, newest)[0][2][frames.BOOT_FIRMWARE]
