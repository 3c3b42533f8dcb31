"""The experiment: data, clients and models, for ``bcfl run``.

===============  ==========================================================================
``settings``     the schema of what a client has to know
``seeds``        one seed for a run, and from it one for each purpose
``datasets``     a module for each data set
``partitions``   sharing a data set out among the clients
``client_data``  one client's share, as a file
``models``       the networks, in torch
``training``     training and evaluating one of them
``client_app``   the clients as a Flower app
===============  ==========================================================================

What a simulation's workers import (``client_app`` and what it needs) is kept free of what is
slow to import.
"""
