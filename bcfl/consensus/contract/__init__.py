"""``contracts/PeerConsensus.vy`` as Python sees it.

=============  ====================================================================
``ledger``     what can be asked of it and done to it
``events``     what it says
``words``      its words from ours and back
``calldata``   what a transaction said, read again for an audit
``reference``  the same contract in Python
``memory``     a chain that runs the reference instead of an EVM
=============  ====================================================================
"""
