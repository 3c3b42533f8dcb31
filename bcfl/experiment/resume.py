"""``bcfl resume RUN_DIR``: go on with a run that was cut off, with the configuration it had."""

from __future__ import annotations

from pathlib import Path

from bcfl.core.errors import BcflError
from bcfl.experiment.configuration import register_resolvers
from bcfl.experiment.hydra_entry import complain, exit_status
from bcfl.experiment.run import run_experiment
from bcfl.experiment.run_folder import RunFolder

__all__ = ["resume_run"]


def resume_run(folder: Path) -> int:
    """Go on where the chain says the run is; return the exit status, as ``bcfl run`` does."""
    register_resolvers()
    try:
        config, choices = RunFolder(folder).read_config()
        run_experiment(config, folder, choices, resume=True)
    except BcflError as error:
        complain(error)
        return exit_status(error)
    return 0
