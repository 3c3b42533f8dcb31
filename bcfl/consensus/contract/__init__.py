"""The contracts of peer consensus, one a rule and one for settlement, as Python sees them.

======================  ===========================================================================
``task_ledger``         what a contract says of itself, whatever its kind
``ledger``              what can be asked of a rule's contract, and done to it
``settlement``          the same of the contract of optimistic settlement
``events``              what they say
``words``               their words from ours and back
``calldata``            what a transaction said, read again for an audit
``reference``           ``PeerConsensus.vy`` in Python
``proposal_reference``  those whose members propose, in Python
``memory``              a chain that runs a reference instead of an EVM
``bundle``              all that was signed in a round that is settled optimistically, and its root
``off_chain``           what members are given of it
``play``                the reference, played off chain at the chain's times
``played_round``        the round that is open, played from its beginning
``played``              a ledger for whoever plays it: members, auditors
``optimistic``          a ledger for the coordinator, who settles it
======================  ===========================================================================
"""
