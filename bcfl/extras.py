"""Which extra brings what is missing: ``pip install bcfl`` leaves out what not everybody needs."""

from __future__ import annotations

from typing import Final

#: By top-level module, the extra in ``pyproject.toml``.
_EXTRAS: Final = {
    "bokeh": "plots",
    "datasets": "datasets",
    "flwr_datasets": "datasets",
    "matplotlib": "plots",
    "mlflow": "mlflow",
    "ray": "simulation",
    "sklearn": "datasets",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "torchvision": "datasets",
    "trackio": "trackio",
    "wandb": "wandb",
}


def how_to_get(error: ModuleNotFoundError) -> str:
    """One line that says what is missing and which command brings it; empty if no extra does."""
    missing = (error.name or "").partition(".")[0]
    if (extra := _EXTRAS.get(missing)) is None:
        return ""
    return f"{missing} is not installed, and this needs it: pip install 'bcfl[{extra}]'"
