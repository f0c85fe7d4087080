"""Independent pieces of work in processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

import torch

from ergodual.memory import reuse_memory


def work_off(
    work: Callable[..., None],
    pieces: Iterable[tuple[Any, ...]],
    jobs: int,
    prepare: Callable[..., None],
    given: tuple[Any, ...],
    report: Callable[[Any], None],
) -> None:
    """Call ``work(*piece)`` for every piece, in processes that called ``prepare(*given, told)``
    first.

    Parameters
    ----------
    work, prepare
        Functions of a module. What is put into the queue ``told`` is handed to ``report`` here.
    pieces
        In the order in which they are begun.
    jobs
        How many processes. They end with this one, even if it is killed.
    given
        What ``prepare`` is called with.
    report
        Called in this process.

    Raises
    ------
    Exception
        The first one of any piece; the other pieces end then.
    """
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()  # what is put there has arrived when the piece that put it is done
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin, initargs=(prepare, given, told)
    ) as pool:
        futures: set[Future[None]] = {pool.submit(work, *piece) for piece in pieces}
        try:
            while futures:
                finished, futures = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
                while not told.empty():
                    report(told.get())
                for future in finished:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process.name.startswith("Spawn"):
                    process.terminate()
            raise


def _begin(prepare: Callable[..., None], given: tuple[Any, ...], told: Any) -> None:
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    # one thread a piece: products this small do not gain from a second one, another piece does
    torch.set_num_threads(1)
    reuse_memory()
    prepare(*given, told)


def _end_with_the_command() -> None:
    """If it is killed: whoever takes up its work again must be alone with the files."""
    command = multiprocessing.parent_process()
    assert command is not None
    command.join()
    os._exit(1)
