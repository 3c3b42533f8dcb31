"""``python -m bcfl.cluster [FOLDER]``; exit status 0, or 1 with the reason."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bcfl.cluster.cluster import ClusterSettings, run_cluster
from bcfl.core.errors import BcflError


def main(arguments: list[str]) -> int:
    """Run the cluster in FOLDER, which stays, or in a temporary one, which does not."""
    options = _parser().parse_args(arguments)
    settings = ClusterSettings(transactions=options.transactions, stake_wei=options.stake_wei)
    try:
        if options.folder is not None:
            return run_cluster(options.folder, settings)
        with tempfile.TemporaryDirectory(prefix="bcfl-cluster-") as folder:
            return run_cluster(Path(folder), settings)
    except BcflError as error:
        print(f"bcfl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bcfl: interrupted; every process was stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bcfl.cluster", description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--transactions",
        choices=("relayed", "direct"),
        default="relayed",
        help="direct: each SuperNode sends, and pays for, its own",
    )
    parser.add_argument(
        "--stake-wei",
        type=int,
        default=0,
        help="above 0: each SuperNode becomes a member by its own deposit of so much",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
