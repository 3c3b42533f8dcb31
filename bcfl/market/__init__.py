"""System B, the model marketplace (arXiv 1807.02515).

====================  =============================================================
``spec``              tasks, submissions, draw, verdict, a model described: pure
``contract``          the contract as a ledger: its calls, its events
``statement``         what a task came to, to the wei, from its events
``task_file``         market.json, which says where a task is
``verification_set``  the labelled samples that models are fused and judged on
``models``            a model built and trained
``fusion``            many models as one, by strategies I and II
``judging``           what a verifier measures and reports
``roles``             initiator, contributor, verifier
``federation``        the same roles on the nodes of a Flower federation
====================  =============================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
