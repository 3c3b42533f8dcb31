"""``make apps``: apps as Flower's examples are, plain and adopted; a table of what came of it.

Plain is FedAvg, or of trees FedXgbBagging, without our mod; adopted is one line of the client and
one of the server, and one more where a metric or an evaluation must be named. Each also with one
client of five that fails, one that is late, and four fifths of them sampled.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context, Message
from flwr.serverapp.strategy import FedAvg, FedXgbBagging

from bcfl import PeerConsensus, PeerConsensusMod, peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower import InProcessGrid
from tests.apps.small import APPS, App

CLIENTS = 5


class Bad(InProcessGrid):
    """Client 0 fails to train, and what client 1 trained is late."""

    def deliver(self, message: Message, context: Context) -> Message | None:
        """As the grid does, but for these two."""
        training = message.metadata.message_type.startswith("train")
        if not training or ("bcfl" in message.content and "round" not in message.content["bcfl"]):
            return super().deliver(message, context)
        match context.node_config["partition-id"]:
            case 0:
                message.content.clear()  # a client out of memory, say
                return super().deliver(message, context)
            case 1:
                return None
        return super().deliver(message, context)


def main() -> int:
    """Run them all; 1 where one does not run."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # sums come out the same, whatever the number of cores
    apps = dict(APPS)
    if "--all" in sys.argv:
        from tests.apps.installed import INSTALLED, vit_validate

        apps |= INSTALLED
        MODS["Hugging Face, no client evaluation"] = [PeerConsensusMod(evaluate=vit_validate)]
    print("| app | lines | plain | adopted | gamma=1 | bad clients | left out | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    worst = 0
    for name, app in apps.items():
        row, seconds = [name, LINES.get(name, "1 + 1")], time.perf_counter()
        row += ["–" if name in OLDER else attempt(name, app, PLAIN.get(name, FedAvg))]
        row += [attempt(name, app, PeerConsensus)]
        row += ["–" if name in PLAIN else attempt(name, app, PeerConsensus, gamma=1)]
        records: list[RoundRecord] = []
        row += [attempt(name, app, PeerConsensus, Bad, fraction_train=0.8, on_round=records.append)]
        row += [str(sorted({member for record in records for member in record.left_out}))]
        worst |= any(":" in cell for cell in row[2:6])
        print("|", " | ".join([*row, f"{time.perf_counter() - seconds:.0f}"]), "|", flush=True)
    return worst


OLDER = {"NumPyClient"}  # plain, it runs with Flower's older strategies alone
MODS: dict[str, list[Any]] = {}
OPTIONS: dict[str, dict[str, Any]] = {
    "NumPy": {"metric": "+demo"},
    "XGBoost": {"update": "whole", "combine": "bagging"},
}
PLAIN: dict[str, Any] = {"XGBoost": FedXgbBagging}
LINES = {"NumPy": "1 + 1, metric", "Hugging Face, no client evaluation": "1 + 1, evaluate"}


def attempt(name: str, app: App, base: Any, grid: Any = InProcessGrid, **options: Any) -> str:
    """The accuracy on data of nobody's, or what went wrong."""
    client, server = app
    adopted = base is PeerConsensus
    mods = MODS.get(name, [peer_consensus_mod]) if adopted else []
    with tempfile.TemporaryDirectory() as folder:
        if adopted:
            options = {"run_dir": Path(folder) / "run", **OPTIONS.get(name, {}), **options}
        try:
            return f"{server(grid(client(mods), CLIENTS), base, **options)[1]:.3f}"
        except Exception as error:  # noqa: BLE001 - the table tells
            return f"{type(error).__name__}: {error}"[:200]


if __name__ == "__main__":
    sys.exit(main())
