"""The roles of the marketplace (PROTOCOL, System B).

Each is a class whose ``turn`` does what is due; it works against the market's ledger and any
blob store, and shares nothing else with the others.

==================  ===============================================================
``initiator``,      the roles
``contributor``,
``verifier``
``turn``            one turn of a role
``run_role``        turns until nothing is left to do
``description``     what a task asks for
``history``         the chain's events, by submission
``opening``         the models that one may read
``assessment``,     what a panel's member does with a model
``examination``
``costs``           what is paid, and what may be
``pieces``          what a program has begun, kept on disk
``access``          chain, key and store of a program
==================  ===============================================================
"""
