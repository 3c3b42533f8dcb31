from .ipfs import IpfsStore
from .local import LocalStore

__all__ = [
    "IpfsStore",
    "LocalStore",
]
