"""``make apps``: apps as Flower's examples are, plain and adopted; a table of what came of it.

Plain is FedAvg, or of trees FedXgbBagging, without our mod; adopted is one line of the client and
one of the server, and one more where a metric or an evaluation must be named. Each also with one
client of five that fails, one that is late, and four fifths of them sampled. Means of three shares
of the samples, ± their standard error; what adopting costs is the difference over equal shares.
``--all`` brings the apps of packages that bcfl does not have; names after it, these apps alone.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from flwr.app import Context, Message
from flwr.serverapp.strategy import FedAvg, FedXgbBagging

from bcfl import PeerConsensus, PeerConsensusMod, peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.flower import InProcessGrid
from tests.apps.digits import Seed
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
    asked = [word for word in sys.argv[1:] if not word.startswith("--")]
    print("| app | lines | plain | adopted | gap | gamma=1 | bad clients | left out | s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in asked or apps:
        print("|", " | ".join([name, LINES.get(name, "1 + 1"), *row(name, apps[name])]), "|")
        sys.stdout.flush()
    return int(bool(FAILED))


def row(name: str, app: App) -> list[str]:
    """What an app came to, of each column."""
    begun = time.perf_counter()
    plain = [] if name in OLDER else scores(name, app, PLAIN.get(name, FedAvg))
    adopted = scores(name, app, PeerConsensus)
    gap = [ours - theirs for ours, theirs in zip(adopted, plain, strict=False)]
    whole = [] if name in PLAIN else scores(name, app, PeerConsensus, gamma=1)
    records: list[RoundRecord] = []
    more: dict[str, Any] = {"fraction_train": 0.8, "on_round": records.append}
    bad = scores(name, app, PeerConsensus, Bad, (0,), **more)
    left_out = sorted({member for record in records for member in record.left_out})
    cells = [in_words(values) for values in (plain, adopted, gap, whole, bad)]
    return [*cells, str(left_out), f"{time.perf_counter() - begun:.0f}"]


def in_words(values: list[float]) -> str:
    """The mean, and where there are several, its standard error."""
    if not values:
        return "–"
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{fmean(values):.3f}" + (f" ± {error:.3f}" if error else "")


OLDER = {"NumPyClient"}  # plain, it runs with Flower's older strategies alone
MODS: dict[str, list[Any]] = {}
OPTIONS: dict[str, dict[str, Any]] = {
    "NumPy": {"metric": "+demo"},
    "XGBoost": {"update": "whole", "combine": "bagging"},
}
PLAIN: dict[str, Any] = {"XGBoost": FedXgbBagging}
LINES = {"NumPy": "1 + 1, metric", "Hugging Face, no client evaluation": "1 + 1, evaluate"}


FAILED: list[str] = []


def scores(
    name: str,
    app: App,
    base: Any,
    grid: Any = InProcessGrid,
    seeds: Sequence[int] = (0, 1, 2),
    **options: Any,
) -> list[float]:
    """The accuracy on data of nobody's, by seed; none, and why is printed, where it fails."""
    client, server = app
    adopted = base is PeerConsensus
    mods = MODS.get(name, [peer_consensus_mod]) if adopted else []
    found = []
    for Seed.value in seeds:
        with tempfile.TemporaryDirectory() as folder:
            own = {"run_dir": Path(folder) / "run", **OPTIONS.get(name, {})} if adopted else {}
            try:
                found.append(server(grid(client(mods), CLIENTS), base, **own, **options)[1])
            except Exception as error:  # noqa: BLE001 - the others are to run, too
                FAILED.append(name)
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                return []
    return found


if __name__ == "__main__":
    sys.exit(main())
