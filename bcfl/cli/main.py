"""The ``bcfl`` command. Each sub-command lives in a module of its own, imported when called."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bcfl.cli.demo import demo
from bcfl.cli.init import init, runs
from bcfl.cli.key import key
from bcfl.cli.market import market
from bcfl.cli.plain_text import let_streams_take_anything
from bcfl.cli.settlement import settlement
from bcfl.cli.show import plot, report
from bcfl.cli.signer import signer
from bcfl.cli.stake import stake
from bcfl.extras import how_to_get

_MISTAKEN, _INTERRUPTED = 2, 130
_Jobs = Annotated[int, typer.Option(min=1, help="So many runs of a sweep at a time.")]

app = typer.Typer(
    help="Federated learning in which an Ethereum contract decides whose updates count.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(market, name="market")
app.add_typer(stake, name="stake")
app.add_typer(settlement, name="settlement")
app.add_typer(demo, name="demo")


def _version(asked: bool) -> None:
    if asked:
        print(f"bcfl {version('bcfl')}")
        raise typer.Exit


@app.callback()
def bcfl(
    show: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it, and no more."),
    ] = False,
) -> None:
    """What all commands share."""


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,  # Hydra knows the knobs, and conf/ what they mean
)
def run(context: typer.Context, jobs: _Jobs = 1) -> None:
    """Train together: bcfl run [-m] [NAME=VALUE …]; bcfl run --help explains every knob."""
    from bcfl.experiment.hydra_entry import run_with_hydra  # noqa: PLC0415 - torch, Flower: seconds

    raise typer.Exit(run_with_hydra(context.args, at_once=jobs))


@app.command(context_settings={"allow_extra_args": True})
def lab(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where it is written; gone on with if it is.")],
    quick: Annotated[bool, typer.Option(help="A few runs, in two minutes.")] = False,
) -> None:
    """Play attacks × ballots × rules × splits × seeds: bcfl lab FOLDER [NAME=VALUE …].

    The names are those of conf/lab.yaml, lab.rules=[borda,referee] and so on, and of bcfl run.
    """
    from bcfl.experiment.laboratory.command import lab_command  # noqa: PLC0415 - torch: seconds

    raise typer.Exit(lab_command(folder, context.args, quick=quick))


@app.command()
def resume(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a run that was cut off.")],
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A class, file or URL of your own that the folder names: my.module.Class"
        ),
    ] = None,
    jobs: _Jobs = 1,
) -> None:
    """Go on with a run whose server died; what the chain says is where it stands.

    The folder may be somebody else's: it calls no class that bcfl's own configuration does not
    name, and reaches for no file outside of it, but those that --allow names.
    """
    from bcfl.experiment.resume import resume_run  # noqa: PLC0415

    raise typer.Exit(resume_run(run_dir, allow or (), at_once=jobs))


@app.command()
def audit(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a run, or of a market's role.")],
    rpc: Annotated[str | None, typer.Option(help="Audit against the node at this URL.")] = None,
    receipt: Annotated[
        list[Path] | None, typer.Option(help="A receipt, or what a member signed, to hold up.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
    ipfs: Annotated[str | None, typer.Option(help="Fetch blobs from this IPFS node.")] = None,
    blobs: Annotated[
        Path | None, typer.Option(help="The folder of the blobs, if it is not the run's own.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="Of a member, or the server, to open sealed blobs with.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help='Who is who: {"0x…": "Clinic A"}, as JSON.')
    ] = None,
) -> None:
    """Recompute every round from chain and blobs. Exit status: 0 it holds, 1 not, 2 cannot say.

    Beside its report, audit.json, it writes the page of `bcfl report` with the verdict.
    """
    from bcfl.audit.command import CANNOT, audit_command  # noqa: PLC0415
    from bcfl.cli.narrator import ask_for_password  # noqa: PLC0415

    ask_for_password(key_file)
    from bcfl.cli.show import audited_page, known_names, measure_or_why  # noqa: PLC0415

    who = known_names(names)
    status = audit_command(
        run_dir,
        rpc,
        receipt or (),
        report,
        ipfs,
        key_file,
        blobs=blobs,
        names=who,
        measure=measure_or_why(run_dir),
    )
    if status != CANNOT and not audited_page(run_dir, report or run_dir / "audit.json", who):
        status = CANNOT
    raise typer.Exit(status)


for command in (report, plot, runs, init, key, signer):
    app.command()(command)


def main() -> None:
    """Entry point of the ``bcfl`` script."""
    let_streams_take_anything()
    try:
        app(sys.argv[1:], prog_name="bcfl")
    except ModuleNotFoundError as error:
        if not (words := how_to_get(error)):
            raise
        print(f"bcfl: {words}", file=sys.stderr)
        sys.exit(_MISTAKEN)
    except KeyboardInterrupt:  # before a command has begun that says more
        sys.exit(_INTERRUPTED)
