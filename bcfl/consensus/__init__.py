"""System A, peer consensus (CN110197285A / US11954592B2).

===============  ==================================================================
``spec``         the protocol, pure
``contract``     the contract as a ledger: its calls, its events
``member``       the client's side: ``peer_consensus_mod`` and what it checks
``server``       the server's side: rounds, and whom they are played with
``records``      what server and clients say to each other
``parcels``      how deltas travel between them
``task_folder``  what a task leaves on disk
===============  ==================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
