"""The way to an Ethereum node and back: bounded, retried, typed.

=====================  ============================================================
``chain``              a chain that is started, connected to, stopped
``node_chain``         a node that is there already, at a URL
``anvil``,             a node that is started here
``anvil_program``
``embedded``           a chain in this process, journalled to disk
``connection``         calls, transactions, events; alone imports web3
``contract``           one contract, with its errors as Python's
``delivery``,          sending a transaction until it is mined, once
``sender``
``json_rpc``,          what a node is asked, how often, and what it may answer
``node``
``event``              what a contract says
=====================  ============================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
