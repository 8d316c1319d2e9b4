"""Several processes that train one network together, started by ``torchrun``; alone, everything here does nothing."""

from __future__ import annotations

import inspect
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gazenas.errors import RankDiedError

ROLL_CALL_SECONDS = 3.0  # how long survivors wait for each other's sign of life


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: from 0; rank 0 decides and writes.
        size: how many there are.
        device: where tensors must lie to be exchanged.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def main(self) -> bool:
        """Whether this is the process that decides and writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the device and in the type of ``values``."""
        if self.size == 1:
            return values
        total = values.detach().to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(values.device)

    def agree(self, *wishes: bool) -> list[bool]:
        """For each wish, whether any process has it."""
        if self.size == 1:
            return list(wishes)
        return [bool(count) for count in self.sum(torch.tensor(wishes, dtype=torch.int32)).tolist()]

    def take(self, value: Any) -> Any:
        """What rank 0 holds; ``value`` of the others is ignored. Plain values and CPU tensors."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]

    @torch.no_grad()
    def copy_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with rank 0's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Returns once every process is here."""
        if self.size > 1:
            self.sum(torch.zeros(1))

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network to train: wrapped, so that gradients are averaged, or as it is."""
        if self.size == 1:
            return network
        devices = [torch.device(self.device)] if self.device.startswith("cuda") else None
        # Newer versions of torch have another word for it.
        words = inspect.signature(DistributedDataParallel.__init__).parameters
        word = "forward_sync_buffers" if "forward_sync_buffers" in words else "broadcast_buffers"
        options: dict[str, Any] = {word: False}
        return DistributedDataParallel(network, device_ids=devices, **options)


ALONE = World()


def asked_for() -> bool:
    """Whether ``torchrun`` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Joins the processes that ``torchrun`` started, gloo on a CPU and nccl on GPUs; alone without it.

    Args:
        device: of this process, such as ``cpu`` or ``cuda:1``.

    Raises:
        RankDiedError: where an exchange inside the block fails since another process is gone.
    """
    if not asked_for():
        yield ALONE
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo", rank=rank, world_size=size, timeout=timedelta(minutes=10)
    )
    store = dist.distributed_c10d._get_default_store()
    store.set(f"gazenas/who/{rank}", f"rank {rank} (process {os.getpid()} on {socket.gethostname()})")
    world = World(rank, size, device)
    world.wait()
    try:
        yield world
    except RuntimeError as error:
        missing = _missing(store, rank, size)
        if not missing:
            raise
        raise RankDiedError(
            f"{' and '.join(missing)} died; rank {rank} stops. --resume goes on from the last checkpoint"
        ) from error
    finally:
        dist.destroy_process_group()


def _missing(store: Any, rank: int, size: int) -> list[str]:
    """Names of the processes that give no sign of life within a few seconds after an exchange failed."""
    try:
        store.set(f"gazenas/alive/{rank}", "1")
        until = time.monotonic() + ROLL_CALL_SECONDS
        silent = set(range(size)) - {rank}
        while silent and time.monotonic() < until:
            silent = {other for other in silent if not store.check([f"gazenas/alive/{other}"])}
            time.sleep(0.1)
        return [store.get(f"gazenas/who/{other}").decode() for other in sorted(silent)]
    except RuntimeError:
        return ["rank 0, or the machine that held the store,"]
