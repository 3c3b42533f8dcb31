"""The roles of the marketplace (PROTOCOL, System B), and the programs that play them.

Each role is a class whose ``turn`` does what is due; it works against any
``bcfl.ports.market_ledger`` and any blob store, and shares nothing else with the others.

- ``initiator``, ``contributor``, ``verifier``: the roles.
- ``description``, ``history``, ``opening``, ``costs``, ``assessment``, ``examination``: what
  they read, and make of it.
- ``command``: ``bcfl market …``; with ``programs``, ``access``, ``play``, ``samples``, ``status``.
- ``client_app``: the same roles on the nodes of a Flower federation.
"""
