"""Who somebody is, and what only they can sign or read.

=================  ================================================================
``accounts``       Ethereum accounts, key files, signatures
``typed_data``     what is hashed of the words that are signed
``signer``         whoever can sign
``signer_client``  a signer in another process of the member's own
``signer_wire``    what is said to it, and what it answers
``public_keys``    the public keys of a task's members, kept
``sealing``        encryption to Ethereum keys, and secrets shared among several
``envelope``       the bytes of what is sealed
=================  ================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
