"""The client's side of peer consensus.

==============  ===================================================================
``mod``         ``peer_consensus_mod``, for ``ClientApp(mods=[…])``
``task``        which task a node takes part in, through which chain and store
``enrolment``   becoming a member by one's own deposit
``membership``  what a member checks against the chain, and signs
``review``      what of a round's commitments it could look at
``memory``      what a client remembers of the round it is in
``kept``        what it signed, and the receipts for it, for an audit
``sign_once``   a key that outlives the run, and signs one message of a kind a round
==============  ===================================================================
"""
