"""The world, behind the ports.

==================================  ================================================
``ethereum``                        calls, transactions, events; alone imports web3
``json_rpc``, ``node``, ``sender``,  the way to a node and back: bounded, retried, typed
``transactions``, ``contract``
``embedded_*``, ``loopback_server``  a chain in this process, journalled to disk
``anvil*``, ``chain_base``          a node started here, or one at a URL
``accounts``, ``public_keys``       keys, key files, signatures
``peer_*``, ``market_*``            the two contracts, as their ledgers
``local_store``, ``ipfs_store``,    blobs by digest: in a folder, in IPFS, sealed
``sealed_store``, ``kubo_rpc``,
``locator_index``, ``pieces``
``sealing``, ``envelope``           encryption to Ethereum keys
``task_folder``, ``journal``,       what a task leaves on disk
``atomic_file``
``flower``                          the mod, and the server's conversation with it
==================================  ================================================
"""
