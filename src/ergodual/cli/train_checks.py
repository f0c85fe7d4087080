"""The options of ``ergodual train`` checked: their ranges, and what goes together."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from ergodual.cli.ranges import check_seed, check_threads
from ergodual.errors import ErgodualError
from ergodual.speech.quantizers import Levels, MidRise, quantizer_of

if TYPE_CHECKING:
    from ergodual.cli.train_options import TrainOptions

NOT_OF_THE_RESULT = ("out", "resume", "tensorboard", "device", "store")
"""Options that are not written down."""
OF_NETWORKS = (
    *("corpus", "dev", "model", "bits", "quantizer", "depth", "frame", "loss", "lr", "batch"),
    *("epochs", "bias", "init", "seed", "threads", "precision", "checkpoint_every"),
)
"""Those that are, of models of whole recordings."""


def resolved(options: TrainOptions) -> dict[str, Any]:
    """The configuration with every default filled in.

    Raises
    ------
    ErgodualError
        If a value is out of its range, or means nothing for such a model.
    """
    check_threads(options.threads)
    check_seed(options.seed)
    batch, lr = options.batch, options.lr
    if batch is None:
        batch = 32 if options.model == "frames" else 8
    if lr is None:
        sgd = 0.05 if options.units == "signal" else 2e-3
        lr = {"sgd": sgd, "adam": 1e-3}[options.optimizer] if options.model == "frames" else 7e-4
    counts = {name: getattr(options, name) for name in ("depth", "epochs", "frame")}
    counts |= {"batch": batch, "checkpoint-every": options.checkpoint_every}
    for name, count in counts.items():
        if count < 1:
            raise ErgodualError(f"The value of --{name} is {count}; it must be at least 1.")
    for name, value in (("lr", lr), ("lr-scale", options.lr_scale), ("weight", options.weight)):
        if not 0 < value < 1e30:
            raise ErgodualError(
                f"The value of --{name} is {value}; it must be positive and below 1e30."
            )
    if not options.memory >= 0:
        raise ErgodualError(f"The value of --memory is {options.memory}; it must not be negative.")
    values = {**asdict(options), "lr": lr, "batch": batch, "learn": list(options.learn)}
    values |= {
        name: getattr(options, name) and str(getattr(options, name))
        for name in ("corpus", "dev", "init")
    }
    # what was once the only one is not written down, so that runs from then can be resumed
    if options.loss == "squared":
        del values["loss"]
    if options.quantizer == "mid-rise":
        del values["quantizer"]
    if options.model == "frames":
        _check_frames(options)
        del values["model"]
        return {name: value for name, value in values.items() if name not in NOT_OF_THE_RESULT}
    _check_network(options)
    return {name: value for name, value in values.items() if name in OF_NETWORKS}


def quantizer_of_run(options: TrainOptions) -> MidRise | Levels:
    """What recordings are put through."""
    if options.quantizer == "mid-rise":
        return MidRise(options.bits)
    return quantizer_of(options.quantizer, options.bits)


def _check_network(options: TrainOptions) -> None:
    MidRise(options.bits)
    for field in fields(options):
        name, value = field.name, getattr(options, field.name)
        of_any = name in (*OF_NETWORKS, *NOT_OF_THE_RESULT, "memory")
        if value != field.default and not (of_any and name != "store"):
            raise ErgodualError(
                f"--{name.replace('_', '-')} means nothing for --model {options.model}; leave it "
                "out, or take --model frames."
            )
    if options.quantizer != "mid-rise" and (options.bits != 8 or options.bias):
        raise ErgodualError(
            f"--quantizer {options.quantizer} has 8 bits, in cells that differ; give --bits 8, and "
            "leave out --bias."
        )
    if options.frame % 2:
        raise ErgodualError(
            f"The value of --frame is {options.frame}; frames overlap by half, so it must be even."
        )
    if not 0 <= options.bias <= 0.5:
        raise ErgodualError(
            f"The value of --bias is {options.bias} steps; for whole recordings it must be from 0 "
            "to 0.5."
        )
    if options.device == "cuda" or options.precision == "high":
        raise ErgodualError(
            f"--model {options.model} is learned on the CPU, in float32 or bfloat16; leave out "
            "--device, and give --precision highest or medium."
        )


def _check_frames(options: TrainOptions) -> None:
    if options.loss != "squared":
        raise ErgodualError(
            f"--loss {options.loss} means nothing for --model frames; leave it out, or take "
            "--model network."
        )
    if options.rows is not None and options.rows < options.frame:
        raise ErgodualError(
            f"The value of --rows is {options.rows}; it must be at least --frame, {options.frame}."
        )
    if options.quantizer != "mid-rise" and (options.bits, options.units) != (8, "half-steps"):
        raise ErgodualError(
            f"--quantizer {options.quantizer} has 8 bits, in cells that differ; give --bits 8 "
            "--units half-steps."
        )
    if not 0 <= options.bias * quantizer_of_run(options).step < 1:
        raise ErgodualError(
            f"The value of --bias is {options.bias} steps; it must not be negative, and below "
            "half the range."
        )
    if options.bias and not options.shift:
        raise ErgodualError(f"--bias {options.bias} means nothing without --shift; add it.")
    if options.warmup < 0:
        raise ErgodualError(f"The value of --warmup is {options.warmup}; it must not be negative.")
    if options.weight != 1 and options.steps == "balanced":
        raise ErgodualError(
            f"--weight {options.weight} means nothing for balanced steps; add --steps weighted."
        )
    if not options.learn:
        raise ErgodualError("Nothing is to be learned; give --learn K, steps or weights.")
    for name in ("per_iteration", "relative"):
        if getattr(options, name) and "steps" not in options.learn:
            raise ErgodualError(
                f"Step sizes are not learned, so --{name.replace('_', '-')} means nothing; "
                "add steps to --learn."
            )
