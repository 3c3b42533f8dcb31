"""``bcfl key FILE``: an account of one's own."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer


def key(
    path: Annotated[Path, typer.Argument(help="Where the new file goes.")],
    password: Annotated[
        str,
        typer.Option(
            envvar="BCFL_KEY_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True
        ),
    ],
) -> None:
    """Make an account in an encrypted key file; print its address, which may need ether."""
    from bcfl.core.errors import AccountError  # noqa: PLC0415
    from bcfl.keys.accounts import Account  # noqa: PLC0415 - cryptography: half a second

    account = Account(secrets.token_bytes(32))
    try:
        if not password:
            raise AccountError("a key file needs a password; found none")
        account.create_key_file(path, password)
    except AccountError as error:
        print(f"bcfl: AccountError: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(account.address)
