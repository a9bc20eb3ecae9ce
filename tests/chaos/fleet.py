"""Real workers as processes, the small network they serve, and pictures for them."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import psutil
from PIL import Image

from shared.config import PREFIX, Settings
from shared.contract import WorkerInfo
from shared.ledger import RedisLedger

ROOT = Path(__file__).parents[2]
#: The smallest network of torchvision that ends in pooling and one linear layer.
NETWORK = "shufflenet_v2_x0_5"


def make_network(folder: Path, name: str = NETWORK) -> dict[str, str]:
    """The settings of a real network with random weights, the same ones each time."""
    import torch
    import torchvision

    path = folder / f"{name}.pth"
    if not path.exists():
        torch.manual_seed(0)
        torch.save(torchvision.models.get_model(name, weights=None).state_dict(), path)
    return {"model": name, "weights": str(path)}


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> bytes:
    """A JPEG of soft colours, different for each seed."""
    cells = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


class WorkerProcess:
    """`python -m worker` (or another module that ends up there); killed at the latest when the block ends."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *arguments: str,
        module: str = "worker",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**own, "OMP_NUM_THREADS": "1", **settings.environment(), **(env or {})},
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self.process.pid

    def info(self, ledger: RedisLedger) -> WorkerInfo | None:
        """Its line in `camq workers`. Fails when the process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {self.process.returncode}:\n{self.text()[-3000:]}")
        return next((info for info in ledger.workers() if info.pid == self.pid), None)

    def ready(self, ledger: RedisLedger) -> bool:
        """Whether it takes chunks."""
        info = self.info(ledger)
        return info is not None and info.state in ("ready", "busy")

    def text(self) -> str:
        """What it logged."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """To the process itself, not to its children."""
        self.process.send_signal(number)

    def picture_processes(self) -> list[int]:
        """Those that decode and draw for it."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children()
            return [child.pid for child in children if "worker.pictures.process" in child.cmdline()]
        return []

    def end(self) -> int:
        """Kills it, and what it started, if it still runs; its exit code."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True) if self.process.poll() is None else []
            self.process.kill()
            for child in family:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        return self.process.wait()
