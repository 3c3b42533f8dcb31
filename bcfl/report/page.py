"""The HTML file: figures and tables in one page that loads nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from bcfl.files import write_atomically
from bcfl.report.matrices import read_ratings, unrated
from bcfl.report.sources import Names, Round, Run, Sweep


def write_page(found: Run | Sweep, path: Path, names: Names | None = None) -> None:
    """Write the page.

    Parameters
    ----------
    found : Run or Sweep
    path : Path
        Replaced.
    names : mapping, optional
        Address, in lower case, to name.

    Raises
    ------
    ModuleNotFoundError
        Bokeh is not installed.
    OSError
        It cannot be written.
    """
    page = _run_page(found, names or {}) if isinstance(found, Run) else _sweep_page(found)
    write_atomically(path, page.encode())


def _run_page(run: Run, names: Names) -> str:
    result, members = run.result, run.members
    rounds = result.rounds
    figures: dict[str, Any] = {}
    from bcfl.report import figures as draw  # noqa: PLC0415 - an extra
    from bcfl.report.sales import figures_of, read_sales, rows_of  # noqa: PLC0415

    for name in ("accuracy", "loss") if rounds else ():
        figures[name] = draw.curve(rounds, name)
    voting = [r for r in rounds if r.expected]
    if voting:
        figures["matrix"] = draw.matrix(read_ratings(voting, members), members, result.malicious)
        figures["participation"] = draw.participation(voting, members, result.malicious)
    figures["gas"] = draw.stacked(rounds, "gas", "units of gas")
    figures["seconds"] = draw.stacked(rounds, "seconds", "seconds")
    figures["bytes"] = draw.bytes_sent(rounds) if rounds else None
    sales = read_sales(run)
    if sales is not None:
        figures |= figures_of(sales)
    shown = {name: figure for name, figure in figures.items() if figure is not None}
    title = f"{result.strategy} on {result.dataset}"
    if sales is not None and not rounds:
        title = f"Task {sales.statement.task} of the market {sales.market}"
    return _render(
        "run.html",
        title,
        shown,
        run=run,
        people=_people(run, names),
        steps=[_step(r) for r in voting],
        market=any(r.outcome for r in rounds),
        sales=sales and rows_of(sales, names),
    )


def _sweep_page(sweep: Sweep) -> str:
    from bcfl.report import sweeps  # noqa: PLC0415 - an extra

    table = sweeps.summarise(sweep)
    return _render("sweep.html", f"Sweep {sweep.folder.name}", sweeps.draw(table), table=table)


def _render(template: str, title: str, figures: dict[str, Any], **more: Any) -> str:
    from bokeh.document import Document  # noqa: PLC0415
    from bokeh.embed import file_html  # noqa: PLC0415
    from bokeh.resources import Resources  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("bcfl.report", "templates"), autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda value: f"{value:,}",
        "number": _number,
        "sum_values": lambda values: sum(values.values()),
    }
    document = Document()
    for model in figures.values():
        document.add_root(model)
    folder = files("bcfl.report").joinpath("templates")
    page: str = file_html(
        document,
        Resources(mode="inline"),
        title,
        template=environment.get_template(template),
        template_variables={
            "figures": figures,
            "style": folder.joinpath("report.css").read_text("utf-8"),
            "script": folder.joinpath("report.js").read_text("utf-8"),
            "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}",
            **more,
        },
        suppress_callback_warning=True,
    )
    return page


def _people(run: Run, names: Names) -> list[dict[str, Any]]:
    """Every member: address and name where they are known, whether it attacked, what it won."""
    addresses = run.audit.get("members")
    known = addresses if isinstance(addresses, list) else []
    people = []
    for index in range(run.members):
        address = str(known[index]) if index < len(known) else ""
        rounds = [r for r in run.result.rounds if index in r.expected]
        standing = [r.standing[index] for r in rounds if index in r.standing]
        people.append(
            {
                "index": index,
                "address": address,
                "name": names.get(address.lower(), ""),
                "malicious": index in run.result.malicious,
                "committed": sum(index in r.committed for r in rounds),
                "won": sum(index in r.winners for r in rounds),
                "standing": standing[-1] if standing else None,
            }
        )
    return people


def _step(round_: Round) -> dict[str, Any]:
    """What the page shows of one round beside the matrix."""
    return {
        "round": round_.round,
        "chain_round": round_.chain_round,
        "void": round_.void,
        "accuracy": round_.accuracy,
        "committed": len(round_.committed),
        "expected": len(round_.expected),
        "voted": len(round_.voted),
        "winners": round_.winners,
        "unrated": list(unrated(round_)),
        "left_out": sorted(round_.left_out.items()),
        "gas": sum(round_.gas.values()),
        "model": round_.model,
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
