from .consensus.member.mod import PeerConsensusMod, peer_consensus_mod
from .consensus.spec.rules import Rules
from .market.federation.client_app import market_app
from .market.fusion.fused_arrays import load_fused
from .strategies import ModelFusion, PeerConsensus

__all__ = [
    "ModelFusion",
    "PeerConsensus",
    "PeerConsensusMod",
    "Rules",
    "load_fused",
    "market_app",
    "peer_consensus_mod",
]
