"""Projections along rays: computed tomography in two dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ergodual.operators.sparse import Sparse
from ergodual.tensors import require

Array = np.ndarray[Any, np.dtype[np.float64]]


class Tomography(Sparse):
    """Line integrals of images along rays, the lengths of rays in pixels as a sparse matrix.

    From ``(batch, n, n)`` or ``(batch, rows, columns)`` to ``(batch, angles, bins)``. Pixels are
    squares of side 1 around the origin, the first row on top; a value is Σ over pixels of value
    times length (Siddon, "Fast calculation of the exact radiological path for a three-dimensional
    CT array", 1985), so that the adjoint is exact.

    At angle 0 parallel rays run upwards along the columns, the first bin at the left, and with the
    angle all turn counterclockwise. A fan's source is at the start of the middle ray, the detector
    flat beyond the origin, bins counted as at the parallel rays.

    Parameters
    ----------
    shape
        Rows and columns of the image, or one number for both; ``(1, rows, columns)`` for images
        with a channel axis, as filters take them.
    angles
        In radians: a tensor or list; or how many, evenly over [0, π), or, of a fan, [0, 2π).
    bins
        Rays an angle; as many as cover the image if None.
    spacing
        From one bin to the next, in pixels; at the detector.
    source, detector
        Of a fan: the distances of the source and the detector from the origin, in pixels. Both or
        neither.
    dtype
        Of the lengths; torch's default if None.

    Raises
    ------
    ErgodualError
        If there is no ray, a size is not positive, or the source lies inside of the image.

    Examples
    --------
    >>> K = ed.Tomography(16, angles=30)
    >>> K(torch.ones(1, 16, 16)).shape  # angles and bins
    torch.Size([1, 30, 23])
    """

    def __init__(
        self,
        shape: int | tuple[int, int] | tuple[int, int, int],
        angles: int | Tensor | list[float],
        bins: int | None = None,
        *,
        spacing: float = 1.0,
        source: float | None = None,
        detector: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        given = (shape, shape) if isinstance(shape, int) else tuple(shape)
        require(
            len(given) == 2 or (len(given) == 3 and given[0] == 1),
            f"Tomography's shape is {shape}; give rows and columns, or one channel before them.",
        )
        *channel, rows, columns = given
        require(
            rows >= 1 and columns >= 1, f"Tomography's images are {rows} by {columns}; give pixels."
        )
        fan = source is not None
        require(
            fan == (detector is not None),
            "A fan needs both source= and detector=, the distances from the origin; give both.",
        )
        radius = math.hypot(rows, columns) / 2
        magnified = 1.0
        if source is not None and detector is not None:
            require(
                source > radius and detector >= 0,
                f"The source is {source:g} and the detector {detector:g} from the origin; the "
                f"source must lie outside of the image, farther than {radius:.4g}.",
            )
            magnified = (source + detector) / math.sqrt(source**2 - radius**2)
        if isinstance(angles, int):
            around = 2 * math.pi if fan else math.pi
            turned = np.arange(angles) * (around / max(angles, 1))
        else:
            turned = torch.as_tensor(angles).double().flatten().numpy()
        require(spacing > 0, f"Tomography's spacing is {spacing:g}; give a positive number.")
        bins = math.ceil(2 * radius * magnified / spacing) if bins is None else bins
        require(
            len(turned) >= 1 and bins >= 1 and bool(np.isfinite(turned).all()),
            f"Tomography has {len(turned)} angles and {bins} bins, so no rays; give at least one "
            "of each, and finite angles.",
        )
        at = (np.arange(bins) - (bins - 1) / 2) * spacing
        found = []
        for k, angle in enumerate(turned):
            side = np.array([math.cos(angle), math.sin(angle)])
            along = np.array([-math.sin(angle), math.cos(angle)])
            if source is None or detector is None:
                starts = at[:, None] * side - 2 * radius * along
                ends = starts + 4 * radius * along
            else:
                starts = np.broadcast_to(-source * along, (bins, 2))
                ends = at[:, None] * side + detector * along
                # beyond the detector nothing is left out: rays are lines
                ends = starts + (ends - starts) * (2 * (source + radius) / (source + detector))
            ray, pixel, length = lengths(starts, ends, rows, columns)
            found.append((ray + k * bins, pixel, length))
        index = np.stack([np.concatenate([f[i] for f in found]) for i in (0, 1)])
        entries = np.concatenate([f[2] for f in found])
        matrix = torch.sparse_coo_tensor(
            torch.from_numpy(index),
            torch.from_numpy(entries).to(dtype or torch.get_default_dtype()),
            (len(turned) * bins, rows * columns),
            check_invariants=False,
        )
        super().__init__(matrix, (*channel, rows, columns), (len(turned), bins))


def lengths(starts: Array, ends: Array, rows: int, columns: int) -> tuple[Array, Array, Array]:
    """Of line segments from start to end, ``(rays, 2)`` in x to the right and y upwards: the ray,
    the pixel and the length of each piece that lies in one.
    """
    step = ends - starts
    cuts = [np.zeros((len(step), 1)), np.ones((len(step), 1))]
    for axis, count in ((0, columns), (1, rows)):
        lines = np.arange(count + 1) - count / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (lines - starts[:, axis : axis + 1]) / step[:, axis : axis + 1]
        cuts.append(np.clip(np.nan_to_num(t, nan=0.0, posinf=0.0, neginf=0.0), 0, 1))
    t = np.sort(np.concatenate(cuts, 1), 1)
    middle = starts[:, None] + 0.5 * (t[:, 1:] + t[:, :-1])[..., None] * step[:, None]
    column = np.floor(middle[..., 0] + columns / 2).astype(np.int64)
    row = np.floor(rows / 2 - middle[..., 1]).astype(np.int64)
    length = np.diff(t, axis=1) * np.linalg.norm(step, axis=1)[:, None]
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows) & (length > 1e-12)
    ray = np.broadcast_to(np.arange(len(step))[:, None], length.shape)
    return ray[inside], (row * columns + column)[inside], length[inside]
