"""Checkpoints: everything that the rest of a training depends on."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ergodual.bilevel.history import History
from ergodual.bilevel.workers import Workers
from ergodual.errors import ErgodualError, OtherProductsWarning
from ergodual.files import write_atomically
from ergodual.products import all_in_use

FORMAT = 3
STATE = ("model", "optimizer", "best", "memories")
"""The fields that are checked for damage."""


class Progress(NamedTuple):
    """How far an epoch has got.

    Attributes
    ----------
    step
        Mini-batches done.
    norms, seconds
        The sum of their gradients' norms, and what they took.
    iterations, solved
        Iterations of the lower level, where it is solved, and for how many samples.
    random
        The states of the generators of numbers from there on.
    """

    step: int = 0
    norms: float = 0.0
    seconds: float = 0.0
    iterations: float = 0.0
    solved: float = 0.0
    random: tuple[Tensor, ...] = ()


class Checkpoint(NamedTuple):
    """The state of a training after an epoch, or in the middle of one.

    Attributes
    ----------
    identity
        What the training is: names and plain values. A training with another identity may not go on
        from here.
    model, optimizer
        Their state dictionaries.
    history
        All epochs so far.
    progress
        Of the epoch after them.
    best
        The best parameters so far, where they are kept.
    memories
        What the lower levels start from, where they do.
    products
        What multiplied matrices of each type, on which their last bits depend.
    """

    identity: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    history: History
    progress: Progress
    best: dict[str, Any] | None = None
    memories: list[list[Tensor]] | None = None
    products: dict[str, str] | None = None

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        state = {name: getattr(self, name) for name in STATE}
        past = {"history": self.history.as_dicts(), "progress": tuple(self.progress)}
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "products": self.products,
            "digest": digest(state),
            **past,
            **state,
        }
        # torch reports a full disk as a RuntimeError of its own; written by Python it is an OSError
        # with a name
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(path, buffer.getvalue())

    @staticmethod
    def load(path: Path) -> Checkpoint:
        """Read a checkpoint.

        Raises
        ------
        ErgodualError
            If the file is not a checkpoint, is truncated or damaged, or was written by a newer
            version.
        """
        data = path.read_bytes()
        try:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            version = int(content["format"])
        except Exception as error:  # torch's reader raises whatever it happens to run into
            raise _damaged(path) from error
        if version != FORMAT:
            raise ErgodualError(
                f"The checkpoint {path} has format {version} and this version of Ergodual reads "
                f"{FORMAT}; go on with the version that wrote it, or start again in another folder."
            )
        try:
            state = {name: content[name] for name in STATE}
            intact = content["digest"] == digest(state)
            history = History.from_dicts(content["history"])
            progress = Progress(*content["progress"])
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(path) from error
        if not intact or not history.epochs:
            raise _damaged(path)
        products = content.get("products")
        return Checkpoint(
            content["identity"], history=history, progress=progress, products=products, **state
        )

    @staticmethod
    def shared(path: Path, identity: dict[str, Any], workers: Workers) -> Checkpoint:
        """What every process of this training goes on from; the leading one alone needs the file.

        Raises
        ------
        ErgodualError
            As from :meth:`load` and :meth:`require_identity`.
        """
        saved = Checkpoint.load(path) if workers.leads else None
        if saved is not None:
            saved.require_identity(identity, path)
            saved.warn_of_other_products(path)
        found: Checkpoint = workers.told(saved)
        return found

    def require_identity(self, identity: dict[str, Any], path: Path) -> None:
        """Raise :class:`ErgodualError`, naming the first difference, unless the checkpoint belongs
        to this training.
        """
        field = first_difference(self.identity, identity)
        if field is not None:
            raise ErgodualError(
                f"The checkpoint {path} belongs to another configuration: {field} was "
                f"{self.identity.get(field)!r} and is now {identity.get(field)!r}; give the same "
                "value, or start again in another folder."
            )

    def warn_of_other_products(self, path: Path) -> None:
        """Warn where matrices are multiplied otherwise now, so that the last bits differ."""
        for dtype, kernel in all_in_use().items():
            before = (self.products or {}).get(dtype, kernel)
            if before != kernel:
                warnings.warn(
                    f"The training in {path} multiplied {dtype} matrices by {before} and goes on "
                    f"with {kernel}, so that its numbers are not, bit for bit, those of one that "
                    f"was not interrupted; set ERGODUAL_PRODUCTS={before} to have them.",
                    OtherProductsWarning,
                    stacklevel=2,
                )


def first_difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """The first key that one of two dictionaries lacks or that has different values in them."""
    missing = object()
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key, missing) != new.get(key, missing):
            return key
    return None


def digest(state: Any) -> int:
    """A checksum of all tensors in nested dictionaries, lists and tuples."""
    found = 0
    for tensor in _tensors(state):
        found = zlib.crc32(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
            found,
        )
    return found


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    values: Any = ()
    if isinstance(state, dict):
        values = state.values()
    elif isinstance(state, list | tuple):
        values = state
    return [tensor for value in values for tensor in _tensors(value)]


def _damaged(path: Path) -> ErgodualError:
    return ErgodualError(
        f"{path} is not a whole checkpoint (truncated, damaged, or another kind of file); start "
        "again in another folder."
    )
