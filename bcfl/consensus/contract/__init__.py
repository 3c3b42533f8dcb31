"""The contracts of peer consensus, one a rule, as Python sees them.

======================  ===========================================================
``ledger``              what can be asked of it and done to it
``events``              what it says
``words``               its words from ours and back
``calldata``            what a transaction said, read again for an audit
``reference``           ``PeerConsensus.vy`` in Python
``proposal_reference``  those whose members propose, in Python
``memory``              a chain that runs a reference instead of an EVM
======================  ===========================================================
"""
