"""The files that know Flower.

==================  ===========================================================
``mod``             the client's side: ``peer_consensus_mod``
``contract``        which task a node takes part in, and through which node
``enrolment``       becoming a member by one's own deposit
``membership``      what a client checks before it believes the server
``memory``          what a client remembers of the round it is in
``identity``        which Ethereum account a node is
``blobs``           how deltas travel: in messages or by a node's own store
``handlers``        calling the app's own train and evaluate
``records``         what server and clients say to each other
``conversation``    the server's side of saying it
``grid``            a grid without processes, for tests and quick looks
==================  ===========================================================
"""
