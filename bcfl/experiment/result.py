"""``result.json``: what a run came to."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

__all__ = ["make_result"]


def make_result(
    rounds: list[dict[str, Any]], malicious: Iterable[int], wall_s: float, error: str = ""
) -> dict[str, Any]:
    """Put a run's result together.

    Parameters
    ----------
    rounds : list of dict
        As ``merge_rounds`` gives them; round 0 is the model before the first round.
    malicious : iterable of int
        The partitions that attacked.
    wall_s : float
        Seconds that this process spent on the run, loading included.
    error : str
        What ended the run before its last round; empty where nothing did.

    Returns
    -------
    dict
        ``rounds`` (one entry each: loss, accuracy, model digest, bytes, seconds by phase, and
        of peer consensus all of its ``RoundRecord``), ``initial``, ``final`` (the last round
        that was measured), ``totals``, ``malicious``, ``wall_s``, ``error``, ``bcfl`` (the
        version).
    """
    measured = [entry for entry in rounds if "accuracy" in entry]
    counted = [entry for entry in rounds if entry["round"]]
    gas = sum(sum(entry.get("gas", {}).values()) for entry in counted)
    names = ("round", "accuracy", "loss", "model")
    return {
        "bcfl": version("bcfl"),
        "error": error,
        "initial": {name: measured[0].get(name) for name in names} if measured else {},
        "final": {name: measured[-1].get(name) for name in names} if measured else {},
        "totals": {
            "gas": gas,
            "gas_per_round": round(gas / max(len({entry["round"] for entry in counted}), 1)),
            **{
                name: sum(entry[name] for entry in counted)
                for name in ("bytes_up", "bytes_up_dense", "bytes_down", "bytes_down_dense")
            },
        },
        "malicious": sorted(malicious),
        "wall_s": wall_s,
        "rounds": counted,
    }
