from .centralised import Centralised
from .model_fusion import ModelFusion
from .peer_consensus import PeerConsensus

__all__ = [
    "Centralised",
    "ModelFusion",
    "PeerConsensus",
]
