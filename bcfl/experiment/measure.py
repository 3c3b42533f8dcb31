"""Measuring a run's models anew, as its configuration says: for whoever audits it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flwr.app import ArrayRecord
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcfl.audit.plain_files import read_file
from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.core.model import Arrays
from bcfl.experiment.clients.central import CentralEvaluation
from bcfl.experiment.clients.settings import ModelSettings
from bcfl.experiment.configuration import build, read_group, read_settings
from bcfl.experiment.datasets.images import Images
from bcfl.experiment.recorder import Evaluation
from bcfl.experiment.run_folder import RunFolder
from bcfl.flower.handlers import to_array_record

_MOST_CONFIG_BYTES: Final = 2**20
_WIDEST: Final = 4096  #: units of a layer; what a stranger asks for is built here


def measure_of(folder: Path) -> Callable[[Arrays], dict[str, float]]:
    """What measures a model on the test part of the run in ``folder``, which may be a stranger's.

    Nothing is downloaded, and nothing in the folder is changed.

    Raises
    ------
    BcflError
        There is no configuration, it asks for more than ``bcfl.experiment.trust`` lets pass, or
        its data are not on this machine.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="bcfl-") as copy:
            text = read_file(folder / "config.yaml", _MOST_CONFIG_BYTES)
            (Path(copy) / "config.yaml").write_bytes(text)
            config, _ = RunFolder(Path(copy)).read_config()
            if "dataset" not in config:
                raise ConfigurationError("config.yaml names no data set: an app's of one's own")
            dataset = read_group(config, "dataset")
            if "download" in dataset:
                dataset.download = False
            images = build(config, "dataset")
            given = {"shape": images.shape, "classes": images.classes}
            model = read_settings(ModelSettings, config.model, "model", **given)
    except (OmegaConfBaseException, OSError) as error:
        raise ConfigurationError(str(error).partition("\n")[0]) from error
    if any(width > _WIDEST for width in model.widths):
        raise ConfigurationError(f"model.widths: expected at most {_WIDEST}; found {model.widths}")
    evaluation = _evaluation(config, model, images)

    def measure(arrays: Arrays) -> dict[str, float]:
        record: ArrayRecord = to_array_record(arrays)
        try:
            metrics = evaluation(0, record)
        except (RuntimeError, KeyError, ValueError) as error:  # torch, of arrays that do not fit
            raise BcflError(f"the model is not what config.yaml says: {error}") from error
        return {name: float(str(metrics[name])) for name in ("loss", "accuracy")}

    return measure


def _evaluation(config: DictConfig, model: ModelSettings, images: Images) -> Evaluation:
    if OmegaConf.select(config, "strategy._target_") == "bcfl.strategies.ModelFusion":
        # a marketplace's: what it measures is fused
        from bcfl.experiment.market.market_simulation import FusionEvaluation  # noqa: PLC0415

        return FusionEvaluation(images)
    return CentralEvaluation(model, images)
