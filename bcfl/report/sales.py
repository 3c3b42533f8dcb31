"""A market's task, from deposit to payment and panel by panel: as tables and Bokeh figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Span
from bokeh.palettes import Category10
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bcfl.amounts import in_ether, in_words
from bcfl.core.errors import AuditError
from bcfl.report.figures import GREY, new_figure, outside_legend
from bcfl.report.sources import Run

_BLUE, _ORANGE, _GREEN, _RED = Category10[10][:4]
MONEY_COLOURS: Final = {"reward": _GREEN, "fees": _BLUE, "burnt": _RED}
_ETHER: Final = 10**18
_MOST: Final = 10_000  #: panels, or seats of one

_Text = Annotated[str, Field(max_length=1000)]
_Wei = Annotated[int, Field(ge=-(2**128), lt=2**128)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True)


class Seat(_Plain):
    """One verifier on one panel."""

    verifier: _Text
    seat: int = 0
    fitness: int | None = None
    reason: _Text = ""
    fee: _Wei = 0
    forfeited: _Wei = 0


class Panel(_Plain):
    """One submission."""

    number: int
    submission: _Text
    contributor: _Text
    submitted: int = 0
    ended: int = 0
    outcome: _Text = ""
    cause: _Text = ""
    stake: _Wei = 0
    reward: _Wei = 0
    fees: _Wei = 0
    burnt: _Wei = 0
    verifiers: Annotated[list[Seat], Field(max_length=_MOST)] = Field(default_factory=list)


class Purse(_Plain):
    """What one account put in and had out."""

    put_in: _Wei = 0
    back: _Wei = 0
    earned: _Wei = 0
    forfeited: _Wei = 0


class Statement(_Plain):
    """``bcfl.market.statement``, as a stranger's folder or an audit has it."""

    task: int = 0
    initiator: _Text = ""
    launched: int = 0
    terms: dict[_Text, Any] = Field(default_factory=dict)
    deposit: _Wei = 0
    rewards: _Wei = 0
    fees: _Wei = 0
    burnt: _Wei = 0
    returned: _Wei = 0
    left: _Wei = 0
    panels: Annotated[list[Panel], Field(max_length=_MOST)] = Field(default_factory=list)
    purses: dict[_Text, Purse] = Field(default_factory=dict)

    @property
    def least_fitness(self) -> float | None:
        """What a model's fitness has to exceed, in [0, 1)."""
        mafr = self.terms.get("mafr")
        return mafr / 1e6 if isinstance(mafr, int) else None


class FusedAfter(_Plain):
    """The fused model after one sale, as an audit made it anew."""

    submission: _Text
    models: int = 0
    accuracy: float | None = None
    test: dict[_Text, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sales:
    """A task's statement, and the fused model after each sale."""

    statement: Statement
    market: str
    chain_id: int
    fused: Mapping[str, FusedAfter] = field(default_factory=dict)  #: by submission, hex digest


def read_sales(run: Run) -> Sales | None:
    """What a run's folder and its audit tell of a market's task; the audit goes first.

    Raises
    ------
    AuditError
        What is there is no statement.
    """
    told = run.audit.get("market") or run.market.get("statement")
    if not told:
        return None
    try:
        statement = Statement.model_validate(told)
        fused = [FusedAfter.model_validate(each) for each in run.audit.get("fused", ())]
        market, chain_id = str(run.market.get("market", "?")), int(run.market.get("chain_id", 0))
    except (ValidationError, TypeError, ValueError) as error:
        raise AuditError(
            f"{run.folder}: no statement of a market's task: {error!s:.200}"
        ) from error
    return Sales(statement, market, chain_id, {each.submission: each for each in fused})


def figures_of(sales: Sales) -> dict[str, Any]:
    """The figures, by name."""
    panels = sales.statement.panels
    return {"money": _money(sales), "panels": _reports(sales)} if panels else {}


def rows_of(sales: Sales, names: Mapping[str, str]) -> dict[str, Any]:
    """What the page's tables show, as text."""

    def who(address: str) -> str:
        name = names.get(address.lower(), "")
        return f"{name}, {address}" if name else address

    told = sales.statement
    flow = [(name, getattr(told, name)) for name in _FLOW]
    return {
        "market": sales.market,
        "chain_id": sales.chain_id,
        "task": told.task,
        "initiator": who(told.initiator),
        "launched": in_words(told.launched),
        "deposit": in_ether(told.deposit),
        "flow": [(_FLOW[name], in_ether(wei)) for name, wei in flow if wei],
        "panels": [
            {
                "number": panel.number,
                "submission": panel.submission[:8],
                "when": in_words(panel.submitted),
                "contributor": who(panel.contributor),
                "outcome": panel.outcome + (f" ({panel.cause})" if panel.cause else ""),
                "reward": in_ether(panel.reward),
                "fees": in_ether(panel.fees),
                "burnt": in_ether(panel.burnt) if panel.burnt else "",
                "fused": _fused(sales.fused.get(panel.submission)),
                "verifiers": [
                    (who(seat.verifier), _said(seat), in_ether(seat.fee))
                    for seat in panel.verifiers
                ],
            }
            for panel in told.panels
        ],
        "purses": [
            (who(address), *map(in_ether, (p.put_in, p.back, p.earned, p.forfeited)))
            for address, p in told.purses.items()
        ],
    }


_FLOW: Final = {
    "rewards": "paid to contributors",
    "fees": "paid to verifiers",
    "burnt": "burnt, as the initiator did not grant",
    "returned": "returned to the initiator",
    "left": "still on the contract",
}


def _said(seat: Seat) -> str:
    if seat.forfeited:
        return f"did not report: {in_ether(seat.forfeited)} burnt"
    if not seat.reason:
        return "no report"
    return f"{(seat.fitness or 0) / 1e6:.4f}" if seat.reason == "measured" else seat.reason


def _accuracy(found: FusedAfter | None) -> float | None:
    """On the run's test part, else on the measuring part."""
    return None if found is None else found.test.get("accuracy", found.accuracy)


def _fused(found: FusedAfter | None) -> str:
    if found is None:
        return ""
    measured = _accuracy(found)
    models = f"{found.models} model{'' if found.models == 1 else 's'}"
    return models if measured is None else f"{models}: {measured:.4f}"


def money_of(told: Statement) -> dict[str, list[float]]:
    """What each submission cost, in ether, by what it was for; without what nothing was for."""
    paid = {
        name: [getattr(panel, name) / _ETHER for panel in told.panels]
        for name in ("reward", "fees", "burnt")
    }
    return {name: ether for name, ether in paid.items() if any(ether)}


def _money(sales: Sales) -> Any:
    """What each submission cost, and whom it was paid to, in ether."""
    panels = sales.statement.panels
    parts = money_of(sales.statement)
    shown = new_figure("Paid for each submission (ether)", name="money")
    source = ColumnDataSource({**parts, "number": [panel.number for panel in panels]})
    names = list(parts)
    colours = [MONEY_COLOURS[name] for name in names]
    shown.vbar_stack(names, x="number", width=0.6, color=colours, source=source, legend_label=names)
    shown.add_tools(
        HoverTool(tooltips=[("submission", "@number"), ("$name", "@$name{0.[000000]}")])
    )
    shown.xaxis.axis_label = "submission"
    shown.yaxis.formatter = NumeralTickFormatter(format="0.[0000]")
    outside_legend(shown)
    return shown


def _reports(sales: Sales) -> Any:
    """Each panel's reports, what had to be exceeded, and the fused model where it was made anew."""
    told = sales.statement
    shown = new_figure("Reported fitness, panel by panel", name="panels", y_range=(-0.02, 1.02))
    reports = reports_of(told)
    source = ColumnDataSource(
        {
            "number": [place for place, _, _ in reports],
            "fitness": [fitness for _, fitness, _ in reports],
            "verifier": [seat.verifier for _, _, seat in reports],
            "reason": [seat.reason for _, _, seat in reports],
        },
        name="reports",
    )
    shown.scatter(
        "number", "fitness", source=source, size=9, color=_BLUE, alpha=0.7, legend_label="reported"
    )
    shown.add_tools(
        HoverTool(
            tooltips=[("verifier", "@verifier"), ("", "@fitness{0.0000}, @reason")],
        )
    )
    if points := fused_of(sales):
        fused = ColumnDataSource(
            {"number": [n for n, _ in points], "accuracy": [v for _, v in points]}, name="fused"
        )
        words = {"color": _ORANGE, "legend_label": "fused model, measured anew"}
        shown.line("number", "accuracy", source=fused, line_width=2, **words)
        shown.scatter("number", "accuracy", source=fused, size=6, marker="square", **words)
    if (least := told.least_fitness) is not None:
        shown.add_layout(
            Span(location=least, dimension="width", line_color=GREY, line_dash="dashed")
        )
    shown.xaxis.axis_label = "submission"
    outside_legend(shown)
    return shown


def reports_of(told: Statement) -> list[tuple[float, float, Seat]]:
    """Of each report its place, the fitness, and who reported it; equal ones are side by side."""
    return [
        (
            panel.number + 0.5 * (index + 0.5) / len(panel.verifiers) - 0.25,
            (seat.fitness or 0) / 1e6,
            seat,
        )
        for panel in told.panels
        for index, seat in enumerate(panel.verifiers)
        if seat.reason
    ]


def fused_of(sales: Sales) -> list[tuple[int, float]]:
    """Number of each submission that was sold, and the fused model's accuracy from there on."""
    found = ((p.number, _accuracy(sales.fused.get(p.submission))) for p in sales.statement.panels)
    return [(number, accuracy) for number, accuracy in found if accuracy is not None]
