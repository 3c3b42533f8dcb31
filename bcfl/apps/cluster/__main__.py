"""``python -m bcfl.apps.cluster [FOLDER]``; exit status 0, or 1 with the reason."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bcfl.apps.cluster.cluster import ClusterSettings, run_cluster
from bcfl.core.errors import BcflError


def main(arguments: list[str]) -> int:
    """Run the cluster in FOLDER, which stays, or in a temporary one, which does not."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: python -m bcfl.apps.cluster [FOLDER]", file=sys.stderr)
        return 2
    try:
        if arguments:
            return run_cluster(Path(arguments[0]), ClusterSettings())
        with tempfile.TemporaryDirectory(prefix="bcfl-cluster-") as folder:
            return run_cluster(Path(folder), ClusterSettings())
    except BcflError as error:
        print(f"bcfl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bcfl: interrupted; every process was stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
