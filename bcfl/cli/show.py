"""``bcfl report``, ``bcfl plot``: a run, or a sweep, to look at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcfl.extras import how_to_get

if TYPE_CHECKING:
    from bcfl.audit.models import Measure


_CANNOT = 2
_Folder = Annotated[Path, typer.Argument(help="The folder of a run, a sweep, or a market's role.")]
_Names = Annotated[Path | None, typer.Option(help='Who is who: {"0x…": "Clinic A"}, as JSON.')]


def report(
    folder: _Folder,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; by default report.html in the folder.")
    ] = None,
    names: _Names = None,
) -> None:
    """Write one HTML file with all of a run, or a sweep, that opens offline."""
    from bcfl.report import read_names, write_page  # noqa: PLC0415

    path = out or folder / "report.html"
    _say(lambda: write_page(_read(folder), path, read_names(names)))
    print(f"report: {path}")


def plot(
    folder: _Folder,
    out: Annotated[
        Path | None, typer.Option(help="Folder for them; by default plots in the folder.")
    ] = None,
) -> None:
    """Write the figures of a run, or a sweep, as PNG and SVG."""
    from bcfl.report import write_pictures  # noqa: PLC0415

    written = _say(lambda: write_pictures(_read(folder), out or folder / "plots"))
    print("\n".join(map(str, written)))


def known_names(path: Path | None) -> Mapping[str, str]:
    """What ``--names`` names; a line and exit status 2 where it does not."""
    from bcfl.report import read_names  # noqa: PLC0415

    found: Mapping[str, str] = _say(lambda: read_names(path))
    return found


def measure_or_why(folder: Path) -> Measure | None:
    """What measures the run's models anew; None, and a line that says why, where nothing can."""
    from bcfl.core.errors import BcflError  # noqa: PLC0415

    if not (folder / "config.yaml").exists():
        return None  # a run of somebody's own app
    try:
        from bcfl.experiment.measure import measure_of  # noqa: PLC0415 - torch, an extra

        return measure_of(folder)
    except BcflError as error:
        why = str(error)
    except ModuleNotFoundError as error:
        why = how_to_get(error) or str(error)
    _complain(f"losses and accuracies are not measured anew: {why}")
    return None


def audited_page(folder: Path, audit: Path, names: Mapping[str, str]) -> bool:
    """Write the page beside an audit's report; False where it cannot be written."""
    from bcfl.core.errors import BcflError  # noqa: PLC0415
    from bcfl.report import read_run, write_page  # noqa: PLC0415

    if not _is_run(folder):
        return True  # there is nothing to show
    path = audit.with_suffix(".html")
    try:
        write_page(read_run(folder, audit), path, dict(names))
    except (BcflError, OSError) as error:
        _complain(str(error))
        return isinstance(error, BcflError)  # no page of what is no result, which was found
    except ModuleNotFoundError as error:
        _complain(f"no page: {how_to_get(error) or error}")
        return True
    print(f"page: {path}")
    return True


def _read(folder: Path) -> Any:
    from bcfl.report import read_run, read_sweep  # noqa: PLC0415

    return read_run(folder) if _is_run(folder) else read_sweep(folder)


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("result.json", "market.json"))


def _say(act: Callable[[], Any]) -> Any:
    """Do it; one line and exit status 2 where it cannot be done."""
    from bcfl.core.errors import BcflError  # noqa: PLC0415

    try:
        return act()
    except (BcflError, OSError) as error:
        _complain(str(error))
        raise typer.Exit(_CANNOT) from None


def _complain(words: str) -> None:
    from bcfl.audit.report import printable  # noqa: PLC0415

    print(printable(f"bcfl: {words}"), file=sys.stderr)
