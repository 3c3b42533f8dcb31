"""A second device for torch, on machines that have none: it computes on the CPU, and apart from it.

A tensor on it is of the device ``elsewhere``. An operation on tensors of both devices raises, as
on a GPU, and so does ``numpy()``: whoever forgets ``to(device)`` or ``cpu()`` is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from bcfl.experiment.clients import device

aten = torch.ops.aten
NAME = "elsewhere"


class Elsewhere(torch.Tensor):
    """Says that it is on the other device, and holds its numbers on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        self = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), dtype=held.dtype, device=f"{NAME}:0", **layout
        )
        self.held = held
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> list[Any]:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(op, args, kwargs or {})


def compute(op: Any, args: Any, kwargs: Any) -> Any:
    """What the operation gives, on the device that its tensors are on."""
    wrappers: dict[int, Elsewhere] = {}

    def unwrap(value: Any) -> Any:
        if isinstance(value, Elsewhere):
            wrappers[id(value.held)] = value
            return value.held
        if isinstance(value, torch.Tensor) and value.dim() and op is not aten.copy_.default:
            raise RuntimeError(f"{op}: tensors are expected on one device, found cpu and {NAME}")
        return value

    to = kwargs.get("device")
    args, kwargs = _pytree.tree_map(unwrap, (args, kwargs))
    if to is not None:
        kwargs["device"] = "cpu"
    stays = to is not None and torch.device(to).type == "cpu"

    def wrap(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or stays:
            return value
        known = wrappers.get(id(value))
        return Elsewhere(value) if known is None else known

    found = op(*args, **kwargs)
    if op is aten.copy_.default:  # from one to the other: what it was called on
        return wrappers.get(id(found), found)
    return _pytree.tree_map(wrap, found)


@lru_cache(maxsize=1)
def register() -> torch.library.Library:
    """Teach torch the device, once a process."""
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    for name, op in (
        ("empty.memory_format", aten.empty.memory_format),
        ("empty_strided", aten.empty_strided.default),
    ):
        library.impl(name, lambda *a, op=op, **k: compute(op, a, k), "PrivateUse1")
    return library


class Watch(TorchDispatchMode):
    """Which operations ran on which device, by the first tensor that they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[str]] = {NAME: set(), "cpu": set()}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [each for each in _pytree.tree_leaves(args) if isinstance(each, torch.Tensor)]
        if tensors:
            self.seen[tensors[0].device.type].add(op.overloadpacket.__name__)
        return op(*args, **(kwargs or {}))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """One GPU, as ``bcfl.experiment.clients.device`` sees torch: settings made on it are kept.

    ``gpus.count`` says how many there are. What is computed on ``cuda`` is computed elsewhere.
    """
    register()
    fake = SimpleNamespace(count=1, settings=[], environ={})
    torch_ = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: fake.count > 0, device_count=lambda: fake.count),
        backends=SimpleNamespace(
            mps=SimpleNamespace(is_available=lambda: False),
            cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=None)),
            cudnn=SimpleNamespace(allow_tf32=True),
        ),
        device=lambda name: torch.device(NAME if name.startswith("cuda") else name),
        set_deterministic_debug_mode=fake.settings.append,
    )
    fake.backends = torch_.backends
    monkeypatch.setattr(device, "torch", torch_)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # wrappers know no other
    monkeypatch.setattr(device, "os", SimpleNamespace(environ=fake.environ))
    return fake


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Sees every operation of the test; gradients are computed in its own thread."""
    with torch.autograd.set_multithreading_enabled(False), Watch() as seen:
        yield seen
