"""The files that know Flower.

==================  ===========================================================
``mod``             the client's side: ``peer_consensus_mod``
``membership``      what a client checks before it believes the server
``memory``          what a client remembers of the round it is in
``identity``        which Ethereum account a node is
``blobs``           a node that fetches and publishes deltas by itself
``handlers``        calling the app's own train and evaluate
``records``         what server and clients say to each other
``conversation``    the server's side of saying it
``grid``            a grid without processes, for tests and quick looks
==================  ===========================================================
"""
