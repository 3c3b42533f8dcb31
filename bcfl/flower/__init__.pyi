from .grid import InProcessGrid

__all__ = [
    "InProcessGrid",
]
