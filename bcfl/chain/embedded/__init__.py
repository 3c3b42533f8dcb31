"""An Ethereum chain in this process, with the JSON-RPC of a node.

===================  ==============================================================
``chain``            the chain that is started and stopped
``evm``              py-evm, by way of eth-tester, and its clock
``journal``          every transaction on disk, so that the chain can be built again
``rpc``              the JSON-RPC methods
``loopback_server``  the HTTP server in front of them
===================  ==============================================================
"""
