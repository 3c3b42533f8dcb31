from .anvil import AnvilChain
from .embedded.chain import EmbeddedChain
from .node_chain import RpcChain

__all__ = [
    "AnvilChain",
    "EmbeddedChain",
    "RpcChain",
]
