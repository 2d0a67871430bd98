"""The tables of what the agent does for its nodes beside taking their frames."""

from collections.abc import Mapping

from edge_agent.config.checks import PATH, TEXT, TRUTH, number, one_of, whole
from edge_agent.config.described import Key, Table

NODES: Mapping[str, Table] = {
    "ble": Table(
        "Nodes over Bluetooth LE (docs/ble.md). Without this table the agent does not listen for them.",
        (
            Key("enabled", TRUTH, True, "whether it does"),
            Key(
                "adapter",
                TEXT,
                None,
                "which Bluetooth adapter of this machine",
                shown="the system's first",
                example="hci0",
            ),
            Key(
                "claim",
                TRUTH,
                True,
                "also connect to a node that is nobody's, once somebody asks for it (`vitalwire pair "
                "--label`, `kit import`)",
            ),
            Key(
                "max_connections",
                whole(1, 20),
                5,
                "nodes at a time; many adapters carry no more than five to seven",
            ),
        ),
        switch=True,
    ),
    "pairing": Table(
        "How a node that has no agent comes to this one (docs/pairing.md).",
        (
            Key(
                "claim",
                one_of("button", "command"),
                "button",
                "`button`: a node on a serial cable of this machine is paired when somebody holds its button;"
                " `command`: by `vitalwire pair` alone",
            ),
        ),
    ),
    "updates": Table(
        "Updates of nodes: whose are taken, how fast they go, and when a roll-out must not go on.",
        (
            Key(
                "makers",
                PATH,
                None,
                "a folder of `.pub` files, or one: bundles signed by these makers are taken, and no others",
                shown="`state_dir/makers`",
                example="makers",
            ),
            Key(
                "groups",
                PATH,
                None,
                'groups of nodes for roll-outs, in TOML: `ward-a = ["5ae2…", …]`; `all` is every paired node',
                shown="`state_dir/groups.toml`",
                example="groups.toml",
            ),
            Key(
                "share_percent",
                number(0.1, 50),
                10,
                "an update takes at most so much of what its node's link carries",
                unit="%",
            ),
            Key(
                "radio_bytes_s",
                whole(100, 100_000_000),
                10_000,
                "what a link without a baud rate (TCP, BLE) is taken to carry, until it has carried more",
                unit="bytes/s",
            ),
            Key("at_once", whole(1, 1000), 20, "so many nodes at a time are sent an update, or try it"),
            Key(
                "battery_percent",
                whole(0, 100),
                30,
                "with less than that, and not charging, a node is sent nothing of an update",
                unit="%",
            ),
            Key(
                "confirm_percent",
                number(0, 100),
                90,
                "a roll-out halts when fewer of its nodes confirm the new version (docs/rollout.md)",
                unit="%",
            ),
            Key(
                "soak_min",
                number(0, 43_200),
                60,
                "the next wave begins so long after the last confirmation of the one before",
                unit="min",
            ),
            Key(
                "trial_min",
                number(1, 1440),
                30,
                "a node that tries a new version and says nothing of it for so long has failed",
                unit="min",
            ),
            Key(
                "absent_min",
                number(0, 43_200),
                60,
                "nodes that could not be updated so long after their wave began are not waited for any more",
                unit="min",
            ),
        ),
    ),
}
