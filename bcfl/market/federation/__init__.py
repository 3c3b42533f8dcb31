"""The marketplace's roles on the nodes of a Flower federation.

===============  ==================================================================
``client_app``   contributor and verifier as a ``ClientApp``
``records``      what server and nodes say to each other
``nodes``        the nodes, by account, and what they answer
``marketplace``  one market, from its launch to settling up
``record``       what a round was
===============  ==================================================================
"""
