"""Where a process trains: alone or among others, on which device, and what that multiplies fastest."""

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class DistributedContext:
    """Where this process computes: its rank among `world` processes, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def multiplies_bf16(self) -> bool:
        """Whether matrix products are faster in bf16 here: on a GPU, and on a CPU with instructions for them."""
        if self.device.type != "cpu":
            return True
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@contextlib.contextmanager
def join_process_group() -> Iterator[DistributedContext]:
    """Join the process group that `torchrun` describes, or be alone."""
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if world > 1:
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield DistributedContext(int(os.environ.get("RANK", "0")), world, device)
    finally:
        if world > 1:
            # Whoever still holds the group keeps its threads alive; one that wants Python's lock while the interpreter
            # ends aborts the process, and wrappers of models are parts of reference cycles.
            gc.collect()
            dist.destroy_process_group()
