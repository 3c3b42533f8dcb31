from .accounts import Account, derive_account

__all__ = [
    "Account",
    "derive_account",
]
