"""The marketplace's roles on the nodes of a Flower federation.

==============  ===================================================================
``client_app``  contributor and verifier as a ``ClientApp``
``nodes``       the nodes, by account, and what they are asked
``round``       one submission, from its draw to its outcome
``record``      what a round was
==============  ===================================================================
"""
