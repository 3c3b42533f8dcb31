"""A client's side of peer consensus: it believes the chain, not the server.

==============  ===================================================================
``mod``         ``peer_consensus_mod``, for ``ClientApp(mods=[…])``
``task``        which task a node takes part in, through which chain and store
``enrolment``   becoming a member by one's own deposit
``membership``  what a client checks before it believes the server
``memory``      what a client remembers of the round it is in
==============  ===================================================================
"""
