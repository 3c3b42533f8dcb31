"""Flower strategies: ``start()`` them as any other.

=================  ===============================================================
``PeerConsensus``  system A: members commit, rate each other; the contract selects
=================  ===============================================================
"""

from bcfl.strategies.peer_consensus import PeerConsensus

__all__ = ["PeerConsensus"]
