"""Blobs by digest: whoever gets one has checked that it is the one that was asked for.

==============  ===================================================================
``blob_store``  what every store does
``local``       in a folder
``ipfs``,       in IPFS, through a Kubo node's RPC
``kubo``
``locators``    where a digest was found
``sealed``      for some readers only, in any other store
``cid``         a blob's IPFS address, as Kubo computes it
==============  ===================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
