"""Boosters as XGBoost writes them, without XGBoost: what bagging reads, and a little beside."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def booster(*leaves: float, rounds: int | None = None, groups: int = 1) -> dict[str, Any]:
    """A tree a leaf, each worth its leaf: ``rounds`` boosting rounds of equally many."""
    each = len(leaves) // (rounds or max(1, len(leaves)))
    starts = list(range(0, len(leaves) + 1, max(1, each)))
    trees = [{"id": i, "leaf": leaf} for i, leaf in enumerate(leaves)]
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(leaves))},
        "iteration_indptr": starts,
        "tree_info": [i % groups for i in range(len(leaves))],
        "trees": trees,
    }
    return {"learner": {"gradient_booster": {"model": model}}, "version": [3, 2, 0]}


def as_array(model: object) -> NDArray[np.uint8]:
    """As ``save_raw("json")`` and ``np.frombuffer`` give it."""
    return np.frombuffer(json.dumps(model).encode(), np.uint8)


def leaves_of(array: NDArray[Any]) -> list[float]:
    """What the trees of a booster are worth, in their order; of no bytes, nothing."""
    if not array.size:
        return []
    model = json.loads(array.tobytes())["learner"]["gradient_booster"]["model"]
    assert [tree["id"] for tree in model["trees"]] == list(range(len(model["trees"])))
    assert model["gbtree_model_param"]["num_trees"] == str(len(model["trees"]))
    assert model["iteration_indptr"][-1] == len(model["tree_info"]) == len(model["trees"])
    return [tree["leaf"] for tree in model["trees"]]
