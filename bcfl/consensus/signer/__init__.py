"""``bcfl signer``: a member's account in a process of its own (PROTOCOL, *Who holds the key*).

=================  ================================================================
``messages``       which messages a member signs, read from what a stranger sent
``record``         what was signed and paid, on the disk before it is given away
``allowance``      what the owner lets the signer pay
``task``           the one task, as the owner's own node tells it
``member_signer``  signs once a round, and pays no more than it may
``service``        the socket
``fallback``       sends what the server does not relay
=================  ================================================================

Whoever runs in the SuperNode's process can ask for the signatures and payments of the open
round, once, and can open what is sealed to this account. An app reads every delta anyway; but a
key that is used elsewhere too (the marketplace) would open that as well, so a task gets a key of
its own. The key itself stays here as long as the app cannot read this process: run the signer
as another user of the system than the SuperNode, and give the socket a group of theirs.
"""
