"""``bcfl signer``: hold a member's key, and sign for one task what the protocol lets it sign."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

_PR_SET_DUMPABLE = 4


def signer(
    key: Annotated[Path, typer.Option(help="The member's encrypted key file.")],
    chain_id: Annotated[int, typer.Option(help="The one chain to sign for.")],
    rpc: Annotated[str, typer.Option(help="JSON-RPC of an Ethereum node that you trust.")],
    contract: Annotated[
        str | None,
        typer.Option(
            help="The one task to sign for: 0x…. Left out: the first that has this account as a "
            "member, for good."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="/path.sock or 127.0.0.1:PORT; default: KEY.sock beside the key file."),
    ] = None,
    socket_group: Annotated[
        str | None, typer.Option(help="A group of the system whose users may ask, too.")
    ] = None,
    max_stake_wei: Annotated[int, typer.Option(min=0, help="All deposits together.")] = 0,
    allow_direct: Annotated[
        bool,
        typer.Option("--allow-direct", help="Pay gas for what it signed itself."),
    ] = False,
    direct_fallback: Annotated[
        bool,
        typer.Option(
            "--direct-fallback",
            help="Send what the server does not relay by itself, late in a window. Implies "
            "--allow-direct.",
        ),
    ] = False,
    max_gas_wei: Annotated[int, typer.Option(min=0, help="Gas of one transaction.")] = 10**16,
    max_total_gas_wei: Annotated[int, typer.Option(min=0, help="Gas of all of them.")] = 10**17,
    max_bond_wei: Annotated[
        int, typer.Option(min=0, help="Bonds of all challenges of settled rounds together.")
    ] = 0,
) -> None:
    """Keep a member's key in a process of its own: a SuperNode asks it for signatures.

    It signs one commitment and one ballot a round, only for rounds that the node has open, and
    pays nothing beyond what these options allow.

    Start the SuperNode, as another user of the system, with
    --node-config 'bcfl-signer="unix:/path.sock"'.

    The key file's password: BCFL_KEY_PASSWORD, BCFL_KEY_PASSWORD_FILE, or asked for.
    """
    from bcfl.cli.narrator import typed_password  # noqa: PLC0415
    from bcfl.consensus.signer.allowance import Allowance  # noqa: PLC0415 - web3: a second
    from bcfl.consensus.signer.fallback import DirectFallback  # noqa: PLC0415
    from bcfl.consensus.signer.member_signer import MemberSigner  # noqa: PLC0415
    from bcfl.consensus.signer.record import SigningRecord, record_path  # noqa: PLC0415
    from bcfl.consensus.signer.service import SignerService  # noqa: PLC0415
    from bcfl.consensus.signer.task import connect  # noqa: PLC0415
    from bcfl.core.errors import BcflError  # noqa: PLC0415
    from bcfl.keys.accounts import Account  # noqa: PLC0415
    from bcfl.keys.signer_client import RemoteSigner  # noqa: PLC0415
    from bcfl.keys.signer_wire import parse_endpoint  # noqa: PLC0415

    _keep_memory_private()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        direct = allow_direct or direct_fallback
        allowance = Allowance(max_stake_wei, direct, max_gas_wei, max_total_gas_wei, max_bond_wei)
        endpoint = parse_endpoint(listen or f"{key.absolute()}.sock")
        account = Account.from_key_file(key, typed_password(key))
        with (
            SigningRecord(record_path(key), account.address) as record,
            connect(rpc, chain_id) as node,
            SignerService(
                member := MemberSigner(account, node, contract, record, allowance),
                endpoint,
                socket_group,
            ) as service,
        ):
            print(f"{account.address} on chain {chain_id}; what it signs: {record.path}")
            print(f"listening: {service.endpoint}", flush=True)
            if direct_fallback:
                fallback = DirectFallback(member, RemoteSigner(str(service.endpoint)))
                # a daemon: it ends with the service, and keeps nothing that is not on disk
                threading.Thread(
                    target=fallback.watch, args=(threading.Event(),), daemon=True
                ).start()
            service.serve()
    except BcflError as error:
        print(f"bcfl: {type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _keep_memory_private() -> None:
    """No core file; on Linux, no other process of this user reads memory or environment."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
