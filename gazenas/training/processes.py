"""Several processes that train one network together, started by ``torchrun``; alone, everything here does nothing."""

from __future__ import annotations

import inspect
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gazenas.errors import RankDiedError, StoppedError

HERE = "is there"
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
        RankDiedError: where an exchange inside the block fails since another process is gone; any other error stays
            what it is, and the other processes are told of it.
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
    roll = _Roll(dist.distributed_c10d._get_default_store(), rank, size)
    world = World(rank, size, device)
    world.wait()
    try:
        yield world
    except StoppedError:  # all stop alike
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        if not _lost_connection(error):
            roll.answer(f"failed with {reason}")
            raise
        gone = roll.call()
        if not gone:
            raise
        raise RankDiedError(
            f"{' and '.join(gone)}; rank {rank} stops ({reason}). --resume goes on from the last checkpoint"
        ) from error
    finally:
        dist.destroy_process_group()


def _lost_connection(error: Exception) -> bool:
    """Whether an exchange failed for want of the other side; gloo says so in words alone."""
    lost = "gloo/transport|Connection (closed|reset|refused)|Broken pipe|Timed out waiting"
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and bool(re.search(lost, str(error))))


class _Roll:
    """Who of the processes is still there after a fault, and what became of the others: each answers in the store."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self.store, self.rank = store, rank
        self.others = [other for other in range(size) if other != rank]
        store.set(f"gazenas/who/{rank}", f"rank {rank} (process {os.getpid()} on {socket.gethostname()})")

    def answer(self, text: str) -> None:
        """Tells the others that this process is there, or why it goes."""
        with suppress(RuntimeError):  # the store may be gone
            self.store.set(f"gazenas/answer/{self.rank}", text)

    def call(self) -> list[str]:
        """What became of those that failed, or give no sign of life within a few seconds."""
        self.answer(HERE)
        silent, until = set(self.others), time.monotonic() + ROLL_CALL_SECONDS
        try:
            while silent and time.monotonic() < until:
                silent = {other for other in silent if not self.store.check([f"gazenas/answer/{other}"])}
                time.sleep(0.1)
            fates = {other: "died" if other in silent else self._text(f"answer/{other}") for other in self.others}
            return [f"{self._text(f'who/{other}')} {fate}" for other, fate in fates.items() if fate != HERE]
        except RuntimeError:
            return [
                "rank 0 (or the machine that kept the list of processes) died, for a reason that its own output gives"
            ]

    def _text(self, key: str) -> str:
        text: str = self.store.get(f"gazenas/{key}").decode()
        return text
