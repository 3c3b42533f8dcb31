"""``bcfl key FILE``: an account of one's own."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from bcfl.core.errors import AccountError
from bcfl.experiment.mistakes import explain
from bcfl.keys.accounts import Account

__all__ = ["make_key_file"]


def make_key_file(path: Path, password: str) -> int:
    """Write a new encrypted key file and print its address; the exit status.

    An empty password is refused, and so is a path that exists already.
    """
    if not password:
        print("bcfl: AccountError: a key file needs a password; found none", file=sys.stderr)
        return 2
    account = Account(secrets.token_bytes(32))
    try:
        account.create_key_file(path, password)
    except AccountError as error:
        print(f"bcfl: {explain(error)}", file=sys.stderr)
        return 2
    print(account.address)
    return 0
