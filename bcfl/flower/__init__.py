"""What both systems need of Flower.

============  =====================================================================
``handlers``  calling the app's own train and evaluate
``identity``  which Ethereum account a node is
``waiting``   until nodes have come, and until they have answered
``grid``      a grid without processes, for tests and quick looks
============  =====================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
