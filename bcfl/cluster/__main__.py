"""``python -m bcfl.cluster [FOLDER]``; exit status 0, or 1 with the reason."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from bcfl.cluster.cluster import OWN_APP, ClusterSettings, run_cluster
from bcfl.core.errors import BcflError


def main(
    folder: Annotated[
        Path | None, typer.Argument(help="By default outputs/cluster/ and the time.")
    ] = None,
    transactions: Annotated[
        Literal["relayed", "direct"],
        typer.Option(help="direct: each SuperNode sends, and pays for, its own."),
    ] = "relayed",
    stake_wei: Annotated[
        int, typer.Option(help="Above 0: each SuperNode joins by its own deposit of so much.")
    ] = 0,
    app: Annotated[
        Path, typer.Option(help="The Flower app that it runs; it gets the own one's run-config.")
    ] = OWN_APP,
) -> None:
    """Run the cluster and audit it."""
    settings = ClusterSettings(transactions=transactions, stake_wei=stake_wei, app=app)
    try:
        named = folder or Path("outputs", "cluster", time.strftime("%Y-%m-%d_%H-%M-%S"))
        raise typer.Exit(run_cluster(named, settings))
    except BcflError as error:
        print(f"bcfl: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("bcfl: interrupted; every process was stopped", file=sys.stderr)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
