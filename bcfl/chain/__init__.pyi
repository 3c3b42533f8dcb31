from .anvil import AnvilChain, RpcChain
from .embedded.chain import EmbeddedChain

__all__ = [
    "AnvilChain",
    "EmbeddedChain",
    "RpcChain",
]
