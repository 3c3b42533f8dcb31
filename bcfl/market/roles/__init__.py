"""The roles of the marketplace (PROTOCOL, System B).

Each is a class whose ``turn`` does what is due; it works against the market's ledger and any
blob store, and shares nothing else with the others.

==================  ===============================================================
``initiator``,      the roles
``contributor``,
``verifier``
``turn``            one turn of a role, and what it says of it
``run_role``        turns until nothing is left to do
``description``     what a task asks for
``history``         the chain's events, by submission
``opening``         from the chain's digests to models
``assessment``,     what a panel's member does with a model
``examination``
``costs``           the most that a task may cost its verifiers
``pieces``          long blobs in pieces that their digests lead to
``access``          chain, key, store and folder of a role: its session
==================  ===============================================================
"""
