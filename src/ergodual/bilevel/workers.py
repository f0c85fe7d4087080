"""Many processes that learn one model: each takes a share of every mini-batch, and the gradients
are summed.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from ergodual.bilevel.data import Share

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others, who may be reading a large corpus for the first time."""


class Workers(NamedTuple):
    """The processes of a run; a single one by default, where every method does nothing.

    Attributes
    ----------
    share
        Which of them this is.
    """

    share: Share = Share()

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.share.rank == 0

    def total(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; one message for all of them."""
        if self.share.size == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(
            tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))

    def told(self, content: Any) -> Any:
        """What the leading process has."""
        if self.share.size == 1:
            return content
        box = [content]
        dist.broadcast_object_list(box)
        return box[0]

    def wait(self) -> None:
        """Until all have come here."""
        if self.share.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Workers]:
    """The processes that torchrun started, connected by NCCL on GPUs and by gloo on CPUs; alone
    where it started none.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    # The default of its functions is the group of the moment when it is imported, which making an
    # optimizer does. Imported after the group was made, it would keep the group and its threads
    # until Python ends, and a thread that still works then aborts the process.
    from torch.distributed.nn import functional  # noqa: F401

    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    store = PrefixStore(_attempt(store, rank, size), store)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    yield Workers(Share(dist.get_rank(), dist.get_world_size()))
    # after an error the others still wait for this process, and so would this call for them
    dist.destroy_process_group()


def _attempt(store: Store, rank: int, size: int) -> str:
    """A name for this start of the run, on which all processes agree.

    After a restart torchrun's store still holds the addresses of the processes that are gone, and
    the new ones would try to reach them (pytorch issue 135712); under a new name there is nothing
    yet. Every process but the leading one asks for it with a number that nobody used before; what
    that one finds to be asked may be old, so it goes on to answer until it is thanked.
    """
    mine = uuid.uuid4().hex
    if rank > 0:
        store.set(f"ask {rank}", mine)
        name: str = store.get(mine).decode()  # waits until it is there
        store.set(f"thanks {name} {rank}", "")
        return name
    waiting = set(range(1, size))
    while waiting:
        for other in sorted(waiting):
            if store.check([f"ask {other}"]):
                store.set(store.get(f"ask {other}").decode(), mine)
            if store.check([f"thanks {mine} {other}"]):
                waiting.remove(other)
        time.sleep(0.01)
    return mine
