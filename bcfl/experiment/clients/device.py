"""Where models are trained and measured: the one place that makes a device ready.

What the protocols compute, and an audit again, stays on the CPU: deltas, aggregates and digests
are NumPy's, the marketplace's reports and fused models torch's in double precision.
"""

from __future__ import annotations

import os

import torch

from bcfl.core.errors import expect


def use_device(name: str) -> torch.device:
    """The device of that name, ready to compute on.

    On CUDA float32 stays float32 (no TF32), and operations run by algorithms that give the same
    bits again on the same card; one that has none raises. Another card, or the CPU, gives other
    last bits.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda`` (which is ``cuda:0``), ``cuda:1``, …, ``mps``.

    Raises
    ------
    ConfigurationError
        There is no such device here.
    """
    here = ["cpu", *(f"cuda:{number}" for number in range(visible_gpus()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    there = "cuda:0" if name == "cuda" else name
    expect(there in here, "engine.device", f"what PyTorch finds here ({', '.join(here)})", name)
    if there.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as torch's manual asks for
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        # What use_deterministic_algorithms(True) sets, without importing the compiler as it does.
        torch.set_deterministic_debug_mode("error")
    return torch.device(name)


def visible_gpus() -> int:
    """How many GPUs this process may use by CUDA: see ``CUDA_VISIBLE_DEVICES``."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
