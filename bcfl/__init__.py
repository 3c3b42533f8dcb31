"""Federated learning in which an Ethereum contract, not the server, decides whose updates count.

Into a Flower app go ``bcfl.adapters.flower.mod.peer_consensus_mod`` and
``bcfl.strategies.PeerConsensus``; the ``bcfl`` command runs, resumes and audits experiments.

=================  ============================================================
``bcfl.core``        the protocol, pure: standard library and NumPy
``bcfl.ports``       what it needs of the world: ledger, blob store, signer, chain
``bcfl.adapters``    Ethereum, Flower, IPFS, files
``bcfl.apps``        command line, experiments, attacks, audit, cluster, market
``bcfl.strategies``  Flower strategies (the folder ``strategies``)
``bcfl.contracts``   Vyper sources and their compiled form (``contracts``)
``bcfl.conf``        Hydra's configuration (``conf``)
=================  ============================================================

Imports point inward: core ← ports ← adapters ← apps and strategies.
"""
