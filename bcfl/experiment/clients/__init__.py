"""The clients of an experiment.

===============  ==================================================================
``settings``     the schema of what a client has to know
``partitions``,  sharing a data set out among the clients
``partitioners``
``client_data``  one client's share, as a file
``models``       the networks, in torch
``layers``       what several models of one network make of their images, as one batch
``training``     training and evaluating them
``central``      all data in one place
``client_app``   the clients as a Flower app
``stacked``      the same clients as one batch
``engine``,      where they run: on Ray, or in this process
``grids``
===============  ==================================================================

What a simulation's workers import (``client_app`` and what it needs) is kept free of what is
slow to import.
"""
