"""Flower strategies: ``start()`` them as any other.

=================  ===============================================================
``PeerConsensus``  system A: members commit, rate each other; the contract selects
``ModelFusion``    system B: nodes sell models; those that are bought become one
=================  ===============================================================
"""

from typing import TYPE_CHECKING, Any

from bcfl.strategies.peer_consensus import PeerConsensus

if TYPE_CHECKING:
    from bcfl.strategies.model_fusion import ModelFusion

__all__ = ["ModelFusion", "PeerConsensus"]


def __getattr__(name: str) -> Any:
    # fusion needs torch, which an app of scikit-learn or NumPy models need not import
    if name == "ModelFusion":
        from bcfl.strategies.model_fusion import ModelFusion  # noqa: PLC0415

        return ModelFusion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
