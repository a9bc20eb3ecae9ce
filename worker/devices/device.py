"""Which device this process owns."""

import torch

from shared.errors import ModelError

#: Of the network in torch, by the names of CAMQ_PRECISION. What runs in int8 is made of one in float32.
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}


def choose(wanted: str) -> torch.device:
    """`auto` takes CUDA when it is there. Raises ModelError when CUDA is asked for and absent."""
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if wanted == "cuda":
        raise ModelError("CAMQ_DEVICE=cuda, but no CUDA device is visible; use CAMQ_DEVICE=auto or cpu")
    return torch.device("cpu")


def limit(device: torch.device, share: float) -> torch.device:
    """The device, of whose memory this process takes no more than `share`: beyond it torch is out of memory."""
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)
    return device


def describe(device: torch.device, precision: str = "fp32") -> str:
    """The device's name for people: `cpu`, or `cuda:0 NVIDIA …`; with the precision when it is not `fp32`."""
    name = "cpu" if device.type == "cpu" else f"{device} {torch.cuda.get_device_name(device)}"
    return name if precision == "fp32" else f"{name}, {precision}"
