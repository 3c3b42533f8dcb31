"""Federated learning in which an Ethereum contract, not the server, decides whose updates count.

Into a Flower app go ``bcfl.peer_consensus_mod`` and ``bcfl.PeerConsensus``; the ``bcfl`` command
runs, resumes and audits experiments. What is imported from a package by its name alone is public
(``__init__.pyi`` beside each contents page) and loaded when it is used.

====================  ===================================================================
``bcfl.cli``          the ``bcfl`` command
``bcfl.experiment``   runs and sweeps: configuration, data, clients, attacks
``bcfl.cluster``      every part in a process of its own, against a real node
``bcfl.strategies``   the Flower strategies (the folder ``strategies``)
``bcfl.trackers``     a run followed in TensorBoard, MLflow, W&B or Trackio
``bcfl.report``       what a run was, to look at
``bcfl.audit``        every round of a run, recomputed
``bcfl.consensus``    System A, peer consensus
``bcfl.market``       System B, the model marketplace
``bcfl.flower``       what both need of Flower
``bcfl.chain``        the way to an Ethereum node, or a chain in this process
``bcfl.store``        blobs by digest: in a folder, in IPFS, sealed
``bcfl.keys``         accounts, signatures, encryption to Ethereum keys
``bcfl.amounts``      ether and dates, as people write them
``bcfl.extras``       which extra brings what is missing
``bcfl.losses``       what an app whose updates are reviewed may return
``bcfl.files``        journals, and files that are written whole or not at all
``bcfl.contracts``    Vyper sources and their compiled form (the folder ``contracts``)
``bcfl.core``         errors, arrays, models, JSON from strangers
``bcfl.conf``         Hydra's configuration (the folder ``conf``)
====================  ===================================================================

Imports run down this list only, and never between ``consensus`` and ``market``.
"""

from typing import Any

import lazy_loader

_lazily, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """What is public, loaded when it is used; the version, read when it is asked for."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("bcfl")
    return _lazily(name)
