"""What adopting bcfl takes: one line of the client, one of the server, and their imports.

python tests/dropin/adopt.py FOLDER  changes client_app.py and server_app.py in FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: By file: the line that changes, and the import that it needs.
CHANGES = {
    "client_app.py": (
        ("app = ClientApp()", "app = ClientApp(mods=[peer_consensus_mod])"),
        (
            "from flwr.clientapp import ClientApp",
            "from flwr.clientapp import ClientApp\nfrom bcfl import peer_consensus_mod",
        ),
    ),
    "server_app.py": (
        ("strategy = FedAvg(", "strategy = PeerConsensus("),
        (
            "from flwr.serverapp.strategy import FedAvg",
            "from bcfl import PeerConsensus",
        ),
    ),
}


def adopt(folder: Path) -> None:
    """Make the change; raise ValueError where a line is not there exactly once."""
    for name, changes in CHANGES.items():
        text = (folder / name).read_text()
        for before, after in changes:
            if text.count(before) != 1:
                raise ValueError(f"expected {before!r} once in {name}; found {text.count(before)}")
            text = text.replace(before, after)
        (folder / name).write_text(text)


if __name__ == "__main__":
    adopt(Path(sys.argv[1]))
