"""The process group under torchrun: this process's rank, device, and sums over all processes."""

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class DistributedContext:
    """The rank of this process, the number of processes, and the device of this process."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process validates, logs and writes files."""
        return self.rank == 0

    @property
    def bf16_is_faster(self) -> bool:
        """Whether bf16 matrix products are faster here: on a GPU, and on a CPU with instructions for them."""
        if self.device.type != "cpu":
            return True
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))

    def sum(self, *values: float) -> list[float]:
        """Return each value summed over all processes."""
        totals = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.world_size > 1:
            dist.all_reduce(totals)
        return [float(total) for total in totals.tolist()]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            dist.barrier()


@contextlib.contextmanager
def join_process_group() -> Iterator[DistributedContext]:
    """Join the process group that torchrun's environment variables describe; without them, train alone."""
    world_size, local_rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if world_size > 1:
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield DistributedContext(int(os.environ.get("RANK", "0")), world_size, device)
    finally:
        if world_size > 1:
            # Objects that still hold the group keep its threads alive, and a thread that takes the GIL while the
            # interpreter exits aborts the process. Wrapped models are parts of reference cycles, so collect them.
            gc.collect()
            dist.destroy_process_group()
