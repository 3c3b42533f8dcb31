"""The way to an Ethereum node and back: bounded, retried, typed.

=====================  ============================================================
``chain``              a chain that is started, connected to, stopped
``node_chain``         a node that is there already
``anvil``,             a node that is started here
``anvil_program``
``embedded``           a chain in this process, journalled to disk
``connection``         calls, transactions, events
``reading``            what a node says of its newest block, beside what was sent
``outbox``             what was sent, kept until nothing can take it back
``contract``           one contract, with its errors as Python's
``delivery``,          sending a transaction until it is mined, once
``sender``
``provider``,          the way to a node: over HTTP, bounded and repeated, or by a
``json_rpc``,          ``Web3`` of the user's own
``own_web3``
``node``               what a node is asked, and what it may answer
``wire``               JSON-RPC's hexadecimal
``event``              what a contract says
=====================  ============================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
