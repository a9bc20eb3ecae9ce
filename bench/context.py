"""What the rows share: how thorough to be, and the servers, worker and network that several of them use."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Self

import msgspec
import psutil
import torch
from torch import nn

from bench import fleet, network, timing
from bench.pictures import folder, fresh
from bench.producers import Producers
from producer import Client
from producer.local.embedded import Stack
from shared.config import Settings
from shared.contract import JobStatus
from worker.core.model.network import Network, load_network

#: Pictures on which workers find the ranges of int8.
_CALIBRATION = 32


@dataclass
class Bench:
    """A context manager; what the rows ask for is started once and ends with the block."""

    quick: bool = False
    device: str = "cpu"
    say: Callable[[str], None] = print
    precision: str = "fp32"
    asked_workers: int | None = None
    asked_producers: int | None = None
    _resources: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterator[int] = field(default_factory=count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.close()

    def pick(self, full: int, quick: int) -> int:
        """How many: the number of a full run, or that of a quick one."""
        return quick if self.quick else full

    @cached_property
    def folder(self) -> Path:
        """A place for pictures, weights and the servers' data."""
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="camq-bench-")))

    def new_folder(self) -> Path:
        """The name of a folder that nobody has used yet."""
        return self.folder / f"{next(self._numbers)}"

    @cached_property
    def weights(self) -> Path:
        """The state dict that worker, peers and bare forward all load."""
        return network.write_weights(self.folder / "resnet18.pth")

    @cached_property
    def published(self) -> nn.Module:
        """The bare network."""
        return network.published(self.weights, self.device)

    @cached_property
    def network(self) -> Network:
        """The same as camq loads it."""
        return load_network("resnet18", weights=self.weights, device=torch.device(self.device))

    @property
    def batch(self) -> int:
        """At which the bare network is held against the others: the same in every run, so that runs compare."""
        return network.batches(self.device)[-1]

    def forward(self, batch: int | None = None, at_least_s: float = 2.0) -> float:
        """Images per second of the bare network: one sample."""
        inputs, bare = network.noise(batch or self.batch, self.device), self.published
        with torch.inference_mode():
            once = network.runner(bare, inputs)

            def work() -> int:
                once()
                return len(inputs)

            work()
            return timing.rate(work, at_least_s)

    @cached_property
    def stack(self) -> Stack:
        """The embedded servers."""
        return self._resources.enter_context(Stack(self.folder / "data"))

    @cached_property
    def settings(self) -> Settings:
        """Those of a camq without any configuration, apart from the network to serve (and, on CUDA, `sized`)."""
        return msgspec.structs.replace(
            self.stack.settings,
            model="resnet18",
            weights=str(self.weights),
            device=self.device,
            log_level="warning",
            **self.sized,
        )

    @property
    def sized(self) -> dict[str, int | str]:
        """Settings that a data-centre GPU needs: a far larger micro-batch than two cores', cores shared out; int8 needs
        pictures to be calibrated on."""
        if self.precision == "int8":
            return {"precision": "int8", "calibration": str(folder(self.new_folder(), _CALIBRATION))}
        if self.device != "cuda":
            return {}
        return {
            "max_batch_size": 64,
            "chunk_size": 64,
            "chunks_in_flight": 4,
            "picture_processes": max(1, len(fleet.cores()) // self.workers),
            "slots_per_gpu": self.workers,
        }

    @cached_property
    def client(self) -> Client:
        """A producer in this process, warm."""
        return self._resources.enter_context(Client(self.settings))

    @property
    def workers(self) -> int:
        """On CUDA several processes share the card, since one interpreter cannot feed it: one for each core."""
        if self.device != "cuda":
            return 1
        return self.asked_workers or len(fleet.cores())

    @property
    def producers(self) -> int:
        """On CUDA several send at the same time, since one interpreter sends as much as a third of the cores take."""
        return 1 if self.device != "cuda" else self.asked_producers or 4

    @cached_property
    def several_producers(self) -> Producers:
        """In processes of their own, warm: past their first job."""
        found = self._resources.enter_context(closing(Producers(self.settings, self.producers)))
        jobs, _ = found.submit([folder(self.new_folder(), 4) for _ in range(self.producers)], {"top_k": 1})
        for job in jobs:
            self.finish(self.client.job(job).wait())
        return found

    @cached_property
    def worker(self) -> list[psutil.Process]:
        """Real workers, warm: ready, and past their first job."""
        running = self._resources.enter_context(
            fleet.worker(self.settings, self.folder / "worker.log", count=self.workers)
        )
        for options in ({"top_k": 1}, {"top_k": 5, "overlay": "input"}):
            self.finish(self.client.submit(list(self.pictures(48)), **options).wait())
        return running

    def pictures(self, number: int) -> list[bytes]:
        """Pictures that storage does not hold yet."""
        return [picture for _, picture in zip(range(number), fresh(), strict=False)]

    @staticmethod
    def finish(status: JobStatus) -> JobStatus:
        """The status of a job that must have gone well; a fast failure is not a result."""
        if status.succeeded != status.total:
            raise RuntimeError(f"job {status.job}: only {status.succeeded} of {status.total} images succeeded")
        return status
