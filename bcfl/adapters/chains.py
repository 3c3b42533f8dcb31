"""The three chains by name: what ``chain=`` in a configuration chooses from."""

from __future__ import annotations

from pathlib import Path

from bcfl.adapters.anvil import AnvilChain, RpcChain
from bcfl.adapters.chain_base import BaseChain
from bcfl.adapters.embedded_chain import EmbeddedChain
from bcfl.core.errors import ConfigurationError

__all__ = ["CHAINS", "open_chain"]

CHAINS = ("embedded", "anvil", "rpc")


def open_chain(
    kind: str = "embedded",
    *,
    folder: Path | None = None,
    seed: int = 0,
    url: str | None = None,
    key_file: Path | None = None,
    password: str | None = None,
) -> BaseChain:
    """The chain of that kind, not started yet: ``with open_chain(…) as chain``.

    Parameters
    ----------
    kind : str
        ``embedded``: in this process. ``anvil``: a node started for the run. ``rpc``: a node
        that runs already.
    folder : Path, optional
        Where the first two keep their chain, so that a run can be resumed and audited:
        ``chain.jsonl`` or ``anvil.json``. Left out: it is gone with its process.
    seed : int
        Whose development accounts the first two have.
    url, key_file, password
        Of ``rpc``, which needs the first two; see ``RpcChain``.

    Raises
    ------
    ConfigurationError
        There is no such kind, or it needs what was not given.
    AccountError
        The key file, or its password, cannot be used.
    """
    if kind == "embedded":
        return EmbeddedChain(None if folder is None else folder / "chain.jsonl", seed)
    if kind == "anvil":
        return AnvilChain(None if folder is None else folder / "anvil.json", seed)
    if kind != "rpc":
        raise ConfigurationError(f"chain is one of {', '.join(CHAINS)}; found {kind!r}")
    if url is None or key_file is None:
        raise ConfigurationError(
            "chain=rpc needs a URL and a key file; found " + _found(url, key_file)
        )
    return RpcChain(url, key_file, password)


def _found(url: str | None, key_file: Path | None) -> str:
    given = [
        name for name, value in (("a URL", url), ("a key file", key_file)) if value is not None
    ]
    return " and ".join(given) or "neither"
