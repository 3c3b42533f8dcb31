"""Who rated whom, as an image: reviewers are rows, authors are columns, the winners above them."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bcfl.report.matrices import read_ratings
from bcfl.report.sources import Round

#: Pixels of a side, about.
_SIDE: Final = 240
_BEST, _WORST = np.array([255, 234, 70], float), np.array([0, 34, 78], float)  # cividis' ends
_UNRATED, _WON, _LOST = (150, 150, 150), (46, 160, 67), (255, 255, 255)


def ballots_image(round_: Round) -> NDArray[np.uint8] | None:
    """Draw a round's ballots; None where nobody rated anybody.

    Returns
    -------
    uint8, (height, width, 3)
        A square a rating, the lighter the better, grey where there is none; green squares in the
        first row stand above the winners.
    """
    if not round_.ballots:
        return None
    members = max(*round_.expected, *round_.committed, *round_.ballots, *round_.winners, 0) + 1
    ratings = read_ratings([round_], members)
    share = (ratings.values[0] - ratings.low) / (ratings.high - ratings.low)
    share = np.clip(share, 0, 1)[..., None]
    better = 1 - share if ratings.name == "loss" else share
    cells = np.full((members + 1, members, 3), _LOST, np.uint8)
    cells[0, list(round_.winners)] = _WON
    colours = _WORST + np.nan_to_num(better) * (_BEST - _WORST)
    cells[1:] = np.where(np.isnan(share), _UNRATED, colours).round().astype(np.uint8)
    cell = max(2, _SIDE // members)
    return cells.repeat(cell, 0).repeat(cell, 1)


def as_png(image: NDArray[np.uint8]) -> bytes:
    """The image as the bytes of a PNG file."""
    from PIL import Image  # noqa: PLC0415 - every tracker's extra brings it

    with BytesIO() as file:
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue()
