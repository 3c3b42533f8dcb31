"""The files that know Flower: the client mod, the records it exchanges with the strategy,
the roster of nodes, and a grid without processes for tests and quick looks.
"""
