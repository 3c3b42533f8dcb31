"""``bcfl market …``: the command line of the marketplace's roles.

Exit status: 0 done, 1 it failed, 2 something given was wrong, 130 interrupted. Whatever the
status, the same words once more go on from what the chain says.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from decimal import Decimal, DecimalException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bcfl.cli.narrator import Narrator
    from bcfl.market.roles.access import Access


FAILED, MISTAKEN, INTERRUPTED = 1, 2, 130

market = typer.Typer(
    help="Buy and sell models: deposit, contribute, verify, be paid by the contract.",
    no_args_is_help=True,
)

Rpc = Annotated[
    str, typer.Option(envvar="BCFL_RPC", help="A node's JSON-RPC, such as http://127.0.0.1:8545.")
]
Market = Annotated[
    str | None, typer.Option("--market", envvar="BCFL_MARKET", help="The marketplace's address.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="BCFL_KEY_FILE",
        help="One's encrypted key file; password in BCFL_KEY_PASSWORD or BCFL_KEY_PASSWORD_FILE.",
    ),
]
Store = Annotated[
    str, typer.Option(envvar="BCFL_STORE", help="A shared folder, or the URL of a Kubo node.")
]
Folder = Annotated[
    Path | None, typer.Option(help="What this role remembers; by default bcfl-market/….")
]
Task = Annotated[int, typer.Option(min=1, help="The task's number.")]

_NODE = "http://127.0.0.1:8545"
_BLOBS = "bcfl-blobs"


@market.command("open")
def open_(
    rpc: Rpc = _NODE,
    key_file: KeyFile = None,
    bond: Annotated[str, typer.Option(help="Ether that a verifier deposits at least.")] = "0.01",
    draw_delay: Annotated[
        int,
        typer.Option(help="Blocks to the one that draws a panel; 2 will do where nobody bends it."),
    ] = 72,
) -> None:
    """Deploy a marketplace; whoever does has no power over it."""
    from bcfl.cli.market_programs import open_market  # noqa: PLC0415

    access = _access(rpc, None, key_file, _BLOBS, None)
    carry_out(lambda tell: open_market(access, _wei(bond), draw_delay, tell))


@market.command()
def launch(
    verification: Annotated[Path, typer.Option(help=".npz with samples and labels.")],
    rpc: Rpc = _NODE,
    address: Market = None,
    key_file: KeyFile = None,
    store: Store = _BLOBS,
    folder: Folder = None,
    name: Annotated[str, typer.Option(help="What people call the task.")] = "",
    reward: Annotated[str, typer.Option(help="Ether for each accepted model.")] = "0.1",
    fee: Annotated[str, typer.Option(help="Ether for each verifier's report.")] = "0.001",
    mafr: Annotated[float, typer.Option(min=0, max=1, help="Fitness to exceed.")] = 0.8,
    least_gain: Annotated[
        float, typer.Option(help="Accuracy a model must add; below 0 forgives noise.")
    ] = -0.01,
    submissions: Annotated[int, typer.Option(help="Models judged at most.")] = 5,
    seats: Annotated[int, typer.Option(help="Verifiers on a panel, 1 to 10.")] = 5,
    quorum: Annotated[int, typer.Option(help="Reports that make a verdict.")] = 3,
    redraws: Annotated[int, typer.Option(help="How often vanished ones are replaced.")] = 2,
    stake: Annotated[
        str, typer.Option(help="Ether a contributor risks; by default half of the reward.")
    ] = "",
    open_hours: Annotated[float, typer.Option(help="For how long models are taken.")] = 24,
    window_minutes: Annotated[float, typer.Option(help="For each step of a submission.")] = 60,
    recommend: Annotated[str, typer.Option(help="cnn, deep_cnn, mlp, or a JSON file.")] = "",
    members_only: Annotated[
        bool, typer.Option(help="Only the buyer may open what it buys.")
    ] = False,
    public_share: Annotated[
        float, typer.Option(help="Of the verification set, to fuse on; the rest stays secret.")
    ] = 0.1,
    measuring_sets: Annotated[
        int, typer.Option(help="Secret sets to measure by; the last serves all further models.")
    ] = 1,
    stay: Annotated[
        bool, typer.Option(help="Stay to grant; without it, say the same again with --stay.")
    ] = True,
) -> None:
    """Ask for models, deposit their price, and open to each panel what it measures by."""
    from bcfl.cli.market_programs import Request  # noqa: PLC0415
    from bcfl.cli.market_programs import launch as program  # noqa: PLC0415
    from bcfl.market.judging.fitness import FitnessRules  # noqa: PLC0415
    from bcfl.market.spec.report import to_ppm  # noqa: PLC0415
    from bcfl.market.spec.terms import TaskRules  # noqa: PLC0415

    def ask(tell: Narrator) -> None:
        rules = TaskRules(
            _wei(reward), _wei(fee), to_ppm(mafr), seats, quorum, redraws, members_only
        )
        request = Request(
            name or verification.stem,
            verification,
            rules,
            FitnessRules(least_gain_ppm=_whole("least-gain", least_gain * 1_000_000)),
            submissions,
            _wei(stake) if stake else None,
            _whole("open-hours", open_hours * 3600),
            _whole("window-minutes", window_minutes * 60),
            recommend,
            public_share,
            measuring_sets,
        )
        program(_access(rpc, address, key_file, store, folder), request, tell, stay=stay)

    carry_out(ask)


@market.command()
def contribute(
    task: Task,
    data: Annotated[Path, typer.Option(help=".npz with samples and labels of one's own.")],
    rpc: Rpc = _NODE,
    address: Market = None,
    key_file: KeyFile = None,
    store: Store = _BLOBS,
    folder: Folder = None,
    architecture: Annotated[
        str, typer.Option(help="cnn, deep_cnn, mlp, or a JSON file; default: the recommended.")
    ] = "",
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 10,
    seed: Annotated[
        int | None, typer.Option(help="Of the training; by default the account decides.")
    ] = None,
    anew: Annotated[bool, typer.Option(help="Submit once more what came to nothing.")] = False,
    max_stake: Annotated[str, typer.Option(help="Ether that it may stake at most.")] = "0",
) -> None:
    """Train a model, submit it, and be paid for it if its panel accepts it."""
    from bcfl.cli.market_programs import contribute as program  # noqa: PLC0415
    from bcfl.market.models.training import ContributorTraining  # noqa: PLC0415

    carry_out(
        lambda tell: program(
            _access(rpc, address, key_file, store, folder, max_stake=max_stake),
            task,
            data,
            architecture,
            ContributorTraining(epochs=epochs),
            seed,
            tell,
            anew=anew,
        )
    )


@market.command()
def verify(
    rpc: Rpc = _NODE,
    address: Market = None,
    key_file: KeyFile = None,
    store: Store = _BLOBS,
    folder: Folder = None,
    task: Annotated[int | None, typer.Option(min=1, help="This one; else every open one.")] = None,
    max_bond: Annotated[str, typer.Option(help="Ether that all bonds may come to.")] = "0",
    leave: Annotated[bool, typer.Option(help="Leave now, and take bond and fees.")] = False,
) -> None:
    """Lend hardware: judge the models one is drawn for, for a fee each, until the task is over."""
    from bcfl.cli.market_programs import verify as program  # noqa: PLC0415

    carry_out(
        lambda tell: program(
            _access(rpc, address, key_file, store, folder, max_bond=max_bond),
            tell,
            task=task,
            leave=leave,
        )
    )


@market.command()
def status(
    rpc: Rpc = _NODE,
    address: Market = None,
    task: Annotated[int | None, typer.Option(min=1, help="This task alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Show tasks, submissions and what was reported of them; needs no key."""
    from bcfl.cli.market_status import print_status  # noqa: PLC0415

    carry_out(
        lambda _: print_status(_access(rpc, address, None, _BLOBS, None), task, as_json=as_json)
    )


@market.command()
def collect(
    task: Task,
    rpc: Rpc = _NODE,
    address: Market = None,
    key_file: KeyFile = None,
    store: Store = _BLOBS,
    folder: Folder = None,
    out: Annotated[Path, typer.Option(help="Where the fused model goes.")] = Path(
        "fused.safetensors"
    ),
) -> None:
    """Open what was bought, fuse it into one model, and take back what is left."""
    from bcfl.cli.market_programs import collect as program  # noqa: PLC0415

    access = _access(rpc, address, key_file, store, folder)
    carry_out(lambda tell: program(access, task, out, tell))


@market.command()
def data(
    out: Annotated[Path, typer.Option(help="Folder for the .npz files.")],
    dataset: Annotated[str, typer.Option(help="digits, or mnist_test.")] = "digits",
    data_folder: Annotated[
        Path | None, typer.Option(help="Of mnist_test: holds the two t10k-*.gz files.")
    ] = None,
    parts: Annotated[int, typer.Option(min=2, help="How many contributors.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides who gets what.")] = 0,
) -> None:
    """Write example data: a verification set, and a part for each contributor."""
    from bcfl.experiment.market.example_data import write_example  # noqa: PLC0415

    carry_out(lambda _: write_example(dataset, data_folder, parts, seed, out))


def _access(
    rpc: str,
    address: str | None,
    key_file: Path | None,
    store: str,
    folder: Path | None,
    *,
    max_bond: str = "0",
    max_stake: str = "0",
) -> Access:
    from bcfl.cli.narrator import ask_for_password  # noqa: PLC0415
    from bcfl.market.roles.access import Access  # noqa: PLC0415

    ask_for_password(key_file)
    return Access(rpc, address, key_file, store, folder, _wei(max_bond), _wei(max_stake))


def _wei(ether: str) -> int:
    from bcfl.core.errors import ConfigurationError  # noqa: PLC0415

    try:
        wei = Decimal(ether) * 10**18
    except DecimalException:
        wei = Decimal(-1)
    if not wei.is_finite() or not 0 <= wei < 2**256 or wei != int(wei):
        raise ConfigurationError(f"expected an amount of ether such as 0.01; found {ether!r}")
    return int(wei)


def _whole(name: str, number: float) -> int:
    from bcfl.core.errors import ConfigurationError  # noqa: PLC0415

    if not math.isfinite(number):
        raise ConfigurationError(f"--{name} is a finite number; found {number}")
    return round(number)


def carry_out(
    program: Callable[[Narrator], Any], if_interrupted: str = "the same command once more goes on"
) -> None:
    """Run, and say in one line what went wrong."""
    from bcfl.cli.narrator import narrated  # noqa: PLC0415
    from bcfl.core.errors import (  # noqa: PLC0415
        AccountError,
        BcflError,
        ConfigurationError,
        DatasetUnavailable,
    )
    from bcfl.experiment.mistakes import explain  # noqa: PLC0415

    try:
        with narrated() as tell:
            program(tell)
    except BcflError as error:
        print(f"bcfl: {explain(error)}", file=sys.stderr)
        mistaken = isinstance(error, ConfigurationError | DatasetUnavailable | AccountError)
        raise typer.Exit(MISTAKEN if mistaken else FAILED) from None
    except OSError as error:
        print(f"bcfl: {explain(ConfigurationError(str(error)))}", file=sys.stderr)
        raise typer.Exit(MISTAKEN) from None
    except KeyboardInterrupt:
        print(f"bcfl: interrupted; {if_interrupted}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
