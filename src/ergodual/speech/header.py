"""What the header of a model's file says, held against its tensors before anything is built."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ergodual.errors import ErgodualError

FORMAT = 2
"""Of the newest files; 1 is that of models of frames."""
LARGEST = 2**26
"""Entries of K; 2²⁶ of them take 256 MiB, and a few times that while they are made."""
DEEPEST = 10_000
"""Iterations."""
LONGEST = 1 << 24
"""Bytes of a header."""
BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
"""Of a number of each type."""


class Header(NamedTuple):
    """A header that is in order.

    Attributes
    ----------
    spec
        What the model is made of.
    metadata
        What else is said of it.
    shapes
        Of its tensors, by name.
    """

    spec: dict[str, Any]
    metadata: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]


class Rule(NamedTuple):
    """What a value must be."""

    holds: Callable[[Any], bool]
    said: str


def _whole(most: int) -> Rule:
    return Rule(lambda value: type(value) is int and 1 <= value <= most, f"from 1 to {most}")


def _one_of(*values: Any) -> Rule:
    # True == 1, but it is no number
    return Rule(
        lambda value: any(value == one and type(value) is type(one) for one in values),
        " or ".join(map(json.dumps, values)),
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(one in ("K", "steps", "weights") for one in value)


SPEC = {
    "n": _whole(LARGEST),
    "depth": _whole(DEEPEST),
    "output": _one_of("plain", "ergodic"),
    "steps": _one_of("balanced", "weighted"),
    "weight": Rule(
        lambda value: type(value) in (int, float) and 0 < value < 1e30, "positive and below 1e30"
    ),
    "learn": Rule(_is_list, "a list of K, steps and weights"),
    "per_iteration": _one_of(False, True),
    "relative": _one_of(False, True),
    "m": Rule(lambda value: value is None or _whole(LARGEST).holds(value), "null or a number"),
    "regulariser": _one_of("l1", "l21"),
    "units": _one_of("signal", "half-steps"),
}
NETWORK = {
    "model": _one_of("network", "convex"),
    **{name: _whole(LARGEST) for name in ("n", "hop", "pairs", "channels")},
    "depth": _whole(DEEPEST),
    "blocks": _whole(8),
}
"""The same of a model of whole recordings."""
METADATA = {
    "bits": _whole(16),
    "rate": _whole(2**31 - 1),
    "quantizer": _one_of("mid-rise", "mu-law", "a-law"),
}


def read_header(path: Path) -> Header:
    """The header of a model's file; the quantizer in it is mid-rise where it names none.

    Raises
    ------
    ErgodualError
        If it is not that of a model of ours, or of a newer version, or the tensors that it lists
        are not such a model's.
    """
    content, size = _content(path)
    try:
        said = json.loads(content.pop("__metadata__")["ergodual"])
        spec, version = said.pop("spec"), said.pop("format")
        spec = {**spec}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise not_whole(path, "it does not say what it is made of") from error
    if type(version) is int and version > FORMAT:
        raise ErgodualError(
            f"{path} has format {version} and this version of Ergodual reads up to {FORMAT}; "
            "update Ergodual."
        )
    metadata = {"quantizer": "mid-rise", **said}
    _check(path, {"format": version}, {"format": _whole(FORMAT)})
    _check(path, metadata, METADATA)
    rules = NETWORK if "model" in spec else SPEC
    for name in spec.keys() - rules.keys():
        raise not_whole(path, f"it has a {name!r:.50}, which is not known")
    needed = NETWORK if rules is NETWORK else ("n", "depth", "learn")
    _check(path, {name: spec.get(name) for name in (*needed, *spec)}, rules)
    if rules is SPEC:
        spec["learn"] = tuple(spec["learn"])
    shapes = {name: _shape(path, name, tensor) for name, tensor in content.items()}
    listed = sum(math.prod(shape) * BYTES[content[name]["dtype"]] for name, shape in shapes.items())
    if size != listed:
        raise not_whole(path, f"it has {size} bytes of numbers and lists {listed}")
    return Header(spec, metadata, shapes)


def not_whole(path: Path, why: str) -> ErgodualError:
    """A sentence."""
    return ErgodualError(
        f"{path} is not a whole Ergodual model: {why}; train it again or take another file."
    )


def _content(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON at the beginning of a file of safetensors, behind its length, and how many bytes
    follow it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            text = file.read(length) if 2 <= length <= min(LONGEST, size - 8) else b""
        content = json.loads(text)
    except FileNotFoundError as error:
        raise ErgodualError(f"{path} does not exist; give the file of a trained model.") from error
    except OSError as error:
        raise ErgodualError(
            f"{path} cannot be read ({error.strerror}); give the file of a trained model."
        ) from error
    except (ValueError, RecursionError) as error:
        raise not_whole(path, "it has no header of safetensors") from error
    if not isinstance(content, dict):
        raise not_whole(path, "it has no header of safetensors")
    return content, size - 8 - length


def _check(path: Path, values: dict[str, Any], rules: dict[str, Rule]) -> None:
    for name, rule in rules.items():
        if name not in values and rules is SPEC:
            continue  # of an older version
        value = values.get(name)
        if not rule.holds(value):
            shown = json.dumps(value)
            shown = shown if len(shown) <= 50 else f"{shown[:50]}..."
            raise not_whole(path, f"its {name} is {shown} and must be {rule.said}")


def _shape(path: Path, name: str, tensor: Any) -> tuple[int, ...]:
    try:
        kind, shape = tensor["dtype"], tuple(tensor["shape"])
        sized = all(type(length) is int and length >= 0 for length in shape)
        if kind not in BYTES or not sized or math.prod(shape) > LARGEST:
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise not_whole(
            path, f"its {name!r:.50} is no tensor of at most {LARGEST} real numbers"
        ) from error
    return shape
