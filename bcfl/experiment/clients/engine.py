"""Where the clients run: Flower's simulation engine on Ray, or this very process.

There one after the other, or (``stacked``) as one batch: see ``bcfl.experiment.clients.stacked``.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import Annotated, Any, Literal

import psutil
from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result
from pydantic import Field
from tenacity import retry, stop_after_attempt

from bcfl.core.errors import EngineFailed, expect
from bcfl.experiment.clients.grids import StoppableGrid
from bcfl.flower.grid import InProcessGrid

#: Models and deltas of one round at a time pass through it; Ray would take a third of the RAM.
_OBJECT_STORE_BYTES = 512 * 1024**2
_ATTEMPTS_TO_START = 3
#: The devices that no machine is without.
EVERYWHERE = ("auto", "cpu")
_LONGEST_TEMPORARY = 107 - 68 - len("/ray")  # characters
#: Of each worker: what kills it as often will do so again.
_RESTARTS = 8
_TRIES_MORE = 2  # of a message whose worker was killed by it


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine, and what of the machine it may have: see ``conf/engine``."""

    kind: Literal["ray", "in_process", "stacked"]
    cpus: Annotated[int, Field(ge=1)] | None = None
    device: str = "auto"
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    def __post_init__(self) -> None:
        name, pattern = "auto, cpu, cuda or mps", "auto|cpu|cuda|mps"
        if self.kind != "ray":  # which itself says which card a worker gets
            name, pattern = "auto, cpu, cuda, cuda:NUMBER or mps", rf"{pattern}|cuda:\d+"
        known = re.fullmatch(pattern, self.device, re.ASCII)
        expect(known is not None, "engine.device", name, self.device)
        whole = self.gpus is None or self.gpus <= 1 or self.gpus % 1 == 0
        expect(whole, "engine.gpus", "a share up to 1, or a whole number", self.gpus)

    def workers(self, clients: int) -> int:
        """How many worker processes there are at most."""
        return min(self.cpus or usable_cpus(), clients)

    @property
    def client_device(self) -> str:
        """Where clients train and measure; the server measures on ``device``."""
        without = self.kind == "ray" and self.device == "cuda" and not self.gpus
        return "cpu" if without else self.device

    def settled(self, clients: int) -> EngineSettings:
        """The same, with the device that there is, and the share of a GPU that a worker gets.

        Raises
        ------
        ConfigurationError
            There is no such device here, or there are fewer GPUs.
        """
        from bcfl.experiment.clients.device import (  # noqa: PLC0415 - torch: seconds
            use_device,
            visible_gpus,
        )

        cards, device = visible_gpus(), self.device
        if device == "auto":
            device = "cuda" if cards else "cpu"
        use_device(device)
        if self.kind != "ray":
            return replace(self, device=device)
        cards = cards if device == "cuda" else 0
        # Ray counts in ten-thousandths
        even = min(1.0, cards * 10_000 // self.workers(clients) / 10_000)
        share = even if self.gpus is None else self.gpus
        on = f"at most {cards}, the GPUs that there are for engine.device={self.device}"
        expect(share <= cards, "engine.gpus", on, share)
        return replace(self, device=device, gpus=share)


def run_clients(
    engine: EngineSettings,
    server: Callable[[Grid], Result],
    client_app: ClientApp,
    clients: int,
) -> Result:
    """Run ``server`` against that many clients; whatever it raises, this raises.

    Parameters
    ----------
    engine : EngineSettings
        Settled.
    server : callable
        Given the grid; in the Ray engine it runs in a thread of its own.
    client_app : ClientApp
    clients : int
        Clients have ``partition-id`` 0 to ``clients`` − 1.

    Raises
    ------
    EngineFailed
        The engine did not start, or broke down.
    """
    if engine.kind != "ray":
        return server(InProcessGrid(client_app, clients))
    results: list[Result] = []
    stopped = Event()
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(server(StoppableGrid(grid, stopped)))

    from flwr.simulation import run_simulation  # noqa: PLC0415 - an extra

    from bcfl.experiment.clients.device import visible_gpus  # noqa: PLC0415 - torch: seconds

    try:
        _start_ray(engine.workers(clients), visible_gpus() if engine.gpus else 0)
        # Flower uses the Ray that it finds running, and shuts it down in the end.
        # A worker that was killed begins anew, and its message with it: Flower would go on
        # handing messages to the dead.
        resources = {"num_cpus": 1, "num_gpus": engine.gpus or 0.0}
        resources |= {"max_restarts": _RESTARTS, "max_task_retries": _TRIES_MORE}
        backend: dict[str, Any] = {"client_resources": resources}
        with _workers_that_end_with_ray():
            run_simulation(server_app, client_app, clients, backend_config=backend)
    except RuntimeError as error:  # all that Flower says of a broken engine
        cause = error.__cause__ or error
        raise EngineFailed(
            f"the simulation engine failed ({cause}); is the machine very busy, or short of "
            "memory? engine=in_process needs no engine, and `bcfl resume` goes on with a run of "
            "peer consensus"
        ) from error
    finally:
        stopped.set()
    return results[0]


@contextmanager
def _workers_that_end_with_ray() -> Iterator[None]:
    """Flower bids each worker exit before it shuts Ray down, which ends them anyway.

    Ray takes that for a failure that is to be tried again, as it does with what a client failed
    at, and prints so at the end of every run.
    """
    from flwr.simulation.ray_transport.ray_actor import BasicActorPool  # noqa: PLC0415 - an extra

    bid = BasicActorPool.terminate_all_actors
    BasicActorPool.terminate_all_actors = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        BasicActorPool.terminate_all_actors = bid  # type: ignore[method-assign]


def usable_cpus() -> int:
    """CPUs that this process may use, where the system limits that; else all of them."""
    try:
        return len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no such limit
        return os.cpu_count() or 1


def _ray_folder(environment: Mapping[str, str]) -> str | None:
    """Where Ray is to put its sockets; None: where it would by itself.

    A socket's path has 107 characters at most, and 68 of them are Ray's own (ray-project/ray#7724):
    clusters' TMPDIR leaves too few.
    """
    chosen = environment.get("RAY_TMPDIR") or environment.get("TMPDIR") or ""
    return "/tmp/ray" if len(chosen) > _LONGEST_TEMPORARY else None  # noqa: S108 - Ray's default


@retry(stop=stop_after_attempt(_ATTEMPTS_TO_START), reraise=True)
def _start_ray(workers: int, gpus: int) -> None:
    """Start Ray here; on a busy machine its own patience of 30 s may be too short."""
    import ray  # noqa: PLC0415 - an extra

    with warnings.catch_warnings():
        # Ray's, about a default of its own that will change; of no use to a reader here.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"ray\.")
        try:
            ray.init(
                _temp_dir=_ray_folder(os.environ),
                num_cpus=workers,
                num_gpus=gpus,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.getLogger("flwr").level,
            )
        except Exception as error:
            ray.shutdown()
            raise RuntimeError(str(error)) from error
