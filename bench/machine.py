"""What the numbers were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bench.fleet import cores

_PACKAGES = (
    "torch",
    "torchvision",
    "onnxruntime",
    "Pillow",
    "numpy",
    "celery",
    "kombu",
    "redis",
    "minio",
    "torchcam",
    "grad-cam",
)
#: What is imported where its name is another one.
_MODULES = {"grad-cam": "pytorch_grad_cam", "Pillow": "PIL"}


def describe(device: str) -> dict[str, Any]:
    """Processor, cores, memory, versions; the load says whether somebody else was measuring too."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(cores()),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "torch_threads": torch.get_num_threads(),
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # the peers, where only camq is installed, or they lie on PYTHONPATH
        return "version unknown" if find_spec(_MODULES.get(name, name)) else "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
