"""Facts of the machine that decide its numbers: what ran, on what, with which limits.

Nothing here names a host. What a torch version or a device does not tell is left out.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

PROPERTIES = {"multi_processor_count": "multiprocessors", "total_memory": "memory_bytes",
              "L2_cache_size": "l2_bytes", "memory_bus_width": "memory_bus_bits",
              "gcnArchName": "architecture"}
# nvidia-smi's names: limits of the card, which the numbers depend on
QUERIES = ("driver_version", "clocks.max.sm", "clocks.max.memory", "power.limit",
           "persistence_mode", "ecc.mode.current")


def device_name(device: torch.device) -> str:
    """What the device is sold as, or its type."""
    if device.type == "cpu":
        return _processor()
    name = getattr(getattr(torch, device.type, None), "get_device_name", None)
    return name(device) if name else device.type


def facts(device: torch.device) -> dict[str, Any]:
    """What the JSON keeps of a machine.

    Args:
        device: that rows are timed on.
    Returns:
        device, threads, load, versions, and of a CUDA device its capability, sizes and limits.
    """
    found = {"device": device_name(device), "threads": torch.get_num_threads(),
             "torch": torch.__version__, "numpy": np.__version__, "cuda": torch.version.cuda,
             "hip": torch.version.hip, "triton": _version("triton"),
             "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None}
    if device.type == "cuda":
        found.update(_card(device))
    return {name: value for name, value in found.items() if value is not None}


def _card(device: torch.device) -> dict[str, Any]:
    """Properties of a CUDA device, and what its driver says where nvidia-smi is installed."""
    properties = torch.cuda.get_device_properties(device)
    found = {ours: getattr(properties, theirs, None) for theirs, ours in PROPERTIES.items()}
    found.update(capability=f"{properties.major}.{properties.minor}",
                 cudnn=torch.backends.cudnn.version(), **_limits(getattr(properties, "uuid", None)))
    return found


def _limits(uuid: object) -> dict[str, str]:
    """Driver, highest clocks and power limit of the card with this id; empty where unknown."""
    tool = shutil.which("nvidia-smi")
    if not (tool and uuid):
        return {}
    command = [tool, f"--id=GPU-{uuid}", f"--query-gpu={','.join(QUERIES)}",
               "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        values = [value.strip() for value in done.stdout.strip().split(",")]
        if len(values) == len(QUERIES):
            return dict(zip(QUERIES, values, strict=True))
    return {}


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _processor() -> str:
    """Model name of the CPU."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "cpu"
