"""The speech model: what it is made of, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ergodual.errors import ErgodualError
from ergodual.files import write_atomically
from ergodual.functions import L1, L21, Box
from ergodual.operators import Dense
from ergodual.primal_dual import Ergodic, Last, StepSizes, Unrolled
from ergodual.problem import Problem
from ergodual.speech.header import DEEPEST, FORMAT, LARGEST, Header, not_whole, read_header
from ergodual.speech.network import Network, NetworkSpec
from ergodual.speech.quantizers import MidRise

MATRIX = "problem.K.matrix"
GREATEST = 1e6
"""Of all numbers in a model's file."""
Learnable = Literal["K", "steps", "weights"]


@dataclass(frozen=True)
class ModelSpec:
    """What a model for frames of quantized speech is made of.

    Attributes
    ----------
    n
        Samples a frame.
    depth
        Iterations.
    output
        The last iterate, or the average with weights ∝ 1/k.
    steps, weight
        The step size rule, or where learned ones start.
    learn
        What is learned.
    per_iteration
        Whether learned step sizes are a pair for each iteration.
    relative
        Whether learned step sizes are in units of 1/‖K‖.
    m
        Rows of K; n if None.
    regulariser
        The ℓ1 norm of the coefficients, or of their pairs (ℓ2,1).
    units
        What frames are measured in: the signal's own scale, or half a quantization step, in which
        the box has radius 1 whatever the word length.
    """

    n: int = 320
    depth: int = 8
    output: Literal["plain", "ergodic"] = "ergodic"
    steps: Literal["balanced", "weighted"] = "balanced"
    weight: float = 1.0
    learn: tuple[Learnable, ...] = ("K",)
    per_iteration: bool = False
    relative: bool = False
    m: int | None = None
    regulariser: Literal["l1", "l21"] = "l1"
    units: Literal["signal", "half-steps"] = "signal"


def build(spec: ModelSpec, bits: int = 4) -> Unrolled:
    """G the box of radius 2^−bits (1 in half steps), F = ‖·‖₁ or ‖·‖₂,₁ of pairs, K to begin with
    the DCT or DFT of m rows.

    Raises
    ------
    ErgodualError
        If the parts do not go together.
    """
    if "weights" in spec.learn and spec.output == "plain":
        raise ErgodualError(
            "Averaging weights can be learned with the ergodic output only; give --output ergodic."
        )
    rows = spec.m or spec.n
    if rows * spec.n > LARGEST:
        raise ErgodualError(
            f"An operator of {rows} rows for frames of {spec.n} samples would have more than "
            f"{LARGEST} entries; give fewer rows or shorter frames."
        )
    if spec.depth > DEEPEST:
        raise ErgodualError(f"The depth is {spec.depth}; it must be at most {DEEPEST}.")
    weight = spec.weight if spec.steps == "weighted" else 1.0
    learned = StepSizes.learned(weight, spec.per_iteration, relative=spec.relative)
    steps = learned if "steps" in spec.learn else StepSizes.weighted(weight)
    output = (
        Last()
        if spec.output == "plain"
        else Ergodic("learned" if "weights" in spec.learn else "1/k")
    )
    radius = MidRise(bits).radius if spec.units == "signal" else 1.0
    pairs = spec.regulariser == "l21"
    K = Dense.dft(spec.n, rows) if pairs else Dense.dct(spec.n, m=rows)
    problem = Problem(L21(size=2) if pairs else L1(), Box(radius=radius), K)
    model = Unrolled(problem, spec.depth, steps, output)
    problem.K.requires_grad_("K" in spec.learn)
    return model


def save_model(
    path: Path,
    model: Unrolled | Network,
    spec: ModelSpec | NetworkSpec,
    metadata: dict[str, Any],
) -> None:
    """Write the parameters and, as JSON in the header's metadata, all that is needed to build the
    model again.
    """
    version = FORMAT if isinstance(spec, NetworkSpec) else 1
    header = {"format": version, "spec": asdict(spec), **metadata}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path, save(tensors, metadata={"ergodual": json.dumps(header)}))


def load_model(
    path: Path,
) -> tuple[Unrolled, ModelSpec, dict[str, Any]] | tuple[Network, NetworkSpec, dict[str, Any]]:
    """The model of a file, of frames or of whole recordings, its specification, and its metadata;
    the quantizer in it is mid-rise where it names none.

    Raises
    ------
    ErgodualError
        If the file is missing, is not a model of ours, is damaged, or was written by a newer
        version.
    """
    header = read_header(path)
    if "model" in header.spec:
        network = NetworkSpec(**header.spec)
        return _load_network(path, header, network), network, header.metadata
    spec = ModelSpec(**header.spec)
    if header.shapes.get(MATRIX) != (spec.m or spec.n, spec.n):
        raise not_whole(path, f"it has no {MATRIX} of {spec.m or spec.n} times {spec.n} numbers")
    # in units of the signal the box is as wide as the word length says
    try:
        model = build(spec, header.metadata["bits"])
    except ErgodualError as error:
        raise not_whole(path, "its parts do not go together") from error
    _load_tensors(path, header, model)
    _check_numbers(path, model, model)
    return model, spec, header.metadata


def _load_network(path: Path, header: Header, spec: NetworkSpec) -> Network:
    """What is made is no larger than what the file has."""
    convex = spec.model == "convex"
    each = 1 if convex else spec.depth
    expected = {
        f"unrolled.problem.{'' if convex else '0.'}K.matrix": (2 * spec.pairs, spec.n),
        "log_thresholds": (each, spec.pairs),
        "unrolled.output.logits": (spec.depth,),
        "map.last.weight": (each * spec.pairs, spec.channels),
    }
    for name, shape in expected.items():
        if header.shapes.get(name) != shape:
            raise not_whole(path, f"it has no {name} of {' times '.join(map(str, shape))} numbers")
    try:
        model = Network(spec)
    except ErgodualError as error:
        raise not_whole(path, "its parts do not go together") from error
    _load_tensors(path, header, model)
    _check_numbers(path, model, model.unrolled)
    return model


def _load_tensors(path: Path, header: Header, model: Unrolled | Network) -> None:
    if header.shapes != {name: tuple(t.shape) for name, t in model.state_dict().items()}:
        raise not_whole(path, "its tensors are not those of such a model")
    try:
        model.load_state_dict(load(path.read_bytes()))
    except OSError as error:
        raise ErgodualError(
            f"{path} cannot be read ({error.strerror}); give the file of a trained model."
        ) from error
    except (SafetensorError, RuntimeError) as error:
        raise not_whole(path, "its tensors are damaged") from error


def _check_numbers(path: Path, model: Unrolled | Network, unrolled: Unrolled) -> None:
    """Refuses those with which the iteration would leave the finite numbers."""
    if not all(bool((t.abs() <= GREATEST).all()) for t in model.state_dict().values()):
        raise not_whole(path, "it has numbers that are NaN, infinite or huge")
    try:
        sigma, tau, _ = unrolled.numbers()
    except ErgodualError as error:
        raise not_whole(path, "its K has no norm to take steps by") from error
    if not all(0 < step <= GREATEST for step in (*sigma, *tau)):
        raise not_whole(path, "its steps are 0, infinite or huge")
    if not bool((torch.as_tensor(unrolled.steps.theta) > -1).all()):
        raise not_whole(path, "its extrapolation is not above -1")
