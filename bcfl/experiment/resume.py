"""``bcfl resume RUN_DIR``: go on with a run that was cut off, with the configuration it had."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from bcfl.core.errors import BcflError
from bcfl.experiment.configuration import register_resolvers
from bcfl.experiment.hydra_entry import MISTAKEN, complain, exit_status
from bcfl.experiment.run_folder import RunFolder
from bcfl.experiment.trust import expect_plain_files

__all__ = ["resume_run"]


def resume_run(folder: Path, allowed: Collection[str] = ()) -> int:
    """Go on where the chain says the run is; return the exit status, as ``bcfl run`` does.

    Nothing that the folder names is called, read or written but what ``bcfl.experiment.trust``
    lets pass, and what ``allowed`` says.
    """
    register_resolvers()
    try:
        expect_plain_files(folder)
        config, choices = RunFolder(folder).read_config(allowed)
        from bcfl.experiment.run import run_experiment  # noqa: PLC0415 - torch, Flower: seconds

        run_experiment(config, folder, choices, resume=True)
    except (BcflError, OmegaConfBaseException) as error:
        complain(error)
        return exit_status(error) if isinstance(error, BcflError) else MISTAKEN
    return 0
