"""Flower strategies: ``start()`` them as any other.

=================  ===============================================================
``PeerConsensus``  system A: members commit, rate each other; the contract selects
``ModelFusion``    system B: nodes sell models; those that are bought become one
``Centralised``    all data in one place, for comparison
=================  ===============================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
