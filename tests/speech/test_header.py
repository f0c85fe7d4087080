"""Model files that are damaged, odd or hostile: a sentence each, before anything large is made."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import ergodual as ed
from ergodual.speech.model import ModelSpec, build, load_model, save_model
from tests.speech.networks import METADATA as NETWORK
from tests.speech.networks import small

SPEC = ModelSpec(n=16, depth=3, learn=("K", "steps", "weights"), per_iteration=True, relative=True)
METADATA: dict[str, Any] = {"bits": 4, "quantizer": "mid-rise", "rate": 16_000}


def tensors() -> dict[str, torch.Tensor]:
    return {name: tensor.detach() for name, tensor in build(SPEC).state_dict().items()}


def spelt(**changes: Any) -> Callable[[Path], object]:
    """Its header with some values changed, at the top or in what it is made of; None to leave one
    out.
    """

    def write(path: Path) -> None:
        header = {"format": 1, "spec": vars(SPEC) | {"learn": list(SPEC.learn)}, **METADATA}
        for name, value in changes.items():
            place = header["spec"] if name in header["spec"] or name == "colour" else header
            place[name] = value
            if value is None and name != "m":
                del place[name]
        save_file(tensors(), path, {"ergodual": json.dumps(header)})

    return write


def holding(**changes: torch.Tensor | None) -> Callable[[Path], object]:
    """Its tensors with some changed, by the last parts of their names; None to leave one out."""

    def write(path: Path) -> None:
        model = build(SPEC)
        save_model(path, model, SPEC, METADATA)
        length = int.from_bytes(path.read_bytes()[:8], "little")
        metadata = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
        found = tensors()
        for end, tensor in changes.items():
            name = next((name for name in found if name.endswith(end)), end)
            found.pop(name, None)
            if tensor is not None:
                found[name] = tensor
        save_file(found, path, metadata)

    return write


def beginning(text: bytes, rest: bytes = b"") -> Callable[[Path], object]:
    return lambda path: path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def cut(size: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        spelt()(path)
        path.write_bytes(path.read_bytes()[:size])

    return write


HUGE = {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}
K = torch.eye(16)
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.write_bytes(b""), "no header"),
    "text": (lambda path: path.write_text("no model, but some text"), "no header"),
    "a long header": (lambda path: path.write_bytes(b"\xff" * 100), "no header"),
    "nested": (beginning(b"[" * 100_000), "no header"),
    "a list": (beginning(b"[]"), "no header"),
    "null metadata": (beginning(b'{"__metadata__": null}'), "does not say"),
    "no metadata": (beginning(b"{}"), "does not say"),
    "null": (beginning(b'{"__metadata__": {"ergodual": "null"}}'), "does not say"),
    "number": (beginning(b'{"__metadata__": {"ergodual": 3}}'), "does not say"),
    "no spec": (spelt(spec=None), "does not say"),
    "spec of null": (beginning(b'{"__metadata__": {"ergodual": "{\\"spec\\": null}"}}'), "does"),
    "newer": (spelt(format=9), "has format 9"),
    "format": (spelt(format="1"), 'format is "1" and must be from 1 to 2'),
    "no bits": (spelt(bits=None), "bits is null"),
    "odd bits": (spelt(bits="four"), 'bits is "four" and must be from 1 to 16'),
    "true bits": (spelt(bits=True), "bits is true"),
    "many bits": (spelt(bits=17), "bits is 17"),
    "no rate": (spelt(rate=None), "rate is null"),
    "rate": (spelt(rate=-1), "rate is -1"),
    "quantizer": (spelt(quantizer="floor"), "quantizer is"),
    "depth": (spelt(depth=10**9), "depth is 1000000000 and must be from 1 to 10000"),
    "no depth": (spelt(depth=None), "depth is null"),
    "other depth": (spelt(depth=4), "not those of such a model"),
    "frame": (spelt(n=0), "its n is 0"),
    "long frame": (spelt(n=2**25), "no problem.K.matrix of"),
    "few rows": (spelt(m=8), "no problem.K.matrix of 8 times 16"),
    "output": (spelt(output="both"), 'must be "plain" or "ergodic"'),
    "weights of one": (spelt(output="plain"), "do not go together"),
    "regulariser": (spelt(regulariser=["l1"]), "regulariser is"),
    "weight": (spelt(weight=float("nan")), "weight is NaN"),
    "learn": (spelt(learn=["all"]), "learn is"),
    "learn text": (spelt(learn="K"), "learn is"),
    "unknown": (spelt(colour=3), "'colour', which is not known"),
    "long": (spelt(output="x" * 100_000), "xxx..."),
    "complex": (holding(matrix=K + 0j), "no tensor of at most"),
    "whole numbers": (holding(matrix=K.long()), "no tensor of at most"),
    "NaN": (holding(matrix=K * torch.nan), "NaN, infinite or huge"),
    "infinite": (holding(log_tau=torch.full((3,), torch.inf)), "NaN, infinite or huge"),
    "huge numbers": (holding(matrix=1e9 * K), "NaN, infinite or huge"),
    "huge steps": (holding(log_sigma=torch.full((3,), 99.0)), "its steps are"),
    "no steps": (holding(log_sigma=None), "not those of such a model"),
    "zero": (holding(matrix=0 * K), "no norm"),
    "another tensor": (holding(other=K), "not those of such a model"),
    "huge": (
        beginning(
            json.dumps(
                {
                    "__metadata__": {
                        "ergodual": json.dumps({"format": 1, "spec": vars(SPEC), **METADATA})
                    },
                    "problem.K.matrix": HUGE,
                }
            ).encode()
        ),
        "no tensor of at most 67108864",
    ),
    "cut": (cut(-10), "bytes of numbers and lists"),
    "cut header": (cut(20), "no header"),
    "missing": (lambda path: None, "does not exist"),
    "a folder": (lambda path: path.mkdir(), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_sentence(name: str, tmp_path: Path) -> None:
    spoil, said = BAD[name]
    path = tmp_path / "model.safetensors"
    spoil(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ed.ErgodualError) as caught:
        load_model(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_what_is_good(tmp_path: Path) -> None:
    spelt()(tmp_path / "model.safetensors")
    model, spec, metadata = load_model(tmp_path / "model.safetensors")
    assert (spec, metadata) == (SPEC, METADATA)
    assert torch.equal(model.problem.K.matrix, build(SPEC).problem.K.matrix)


def network(model: str = "network", spec: dict[str, Any] | None = None, **tensors: Any) -> Any:
    """One of whole recordings with some of its header or its tensors changed; None to leave out."""

    def write(path: Path) -> None:
        made = small(model)
        said = {**vars(made.spec), **(spec or {})}
        header = {"format": 2, **NETWORK, "spec": {k: v for k, v in said.items() if v is not None}}
        found = made.state_dict()
        for end, tensor in tensors.items():
            name = next((name for name in found if name.endswith(end)), end)
            found.pop(name)
            if tensor is not None:
                found[name] = tensor
        save_file(found, path, {"ergodual": json.dumps(header)})

    return write


BAD_NETWORKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "kind": (network(spec={"model": "unet"}), 'must be "network" or "convex"'),
    "other kind": (network(spec={"model": "convex"}), "no unrolled.problem.K.matrix of"),
    "no hop": (network(spec={"hop": None}), "hop is null"),
    "hop": (network(spec={"hop": 15}), "do not go together"),
    "long hop": (network(spec={"hop": 2**26}), "do not go together"),
    "long frame": (network(spec={"n": 2**25}), "K.matrix of 40 times"),
    "many pairs": (network(spec={"pairs": 2**25}), "K.matrix of"),
    "few pairs": (network("convex", spec={"pairs": 10}), "K.matrix of 20 times 32"),
    "deep": (network(spec={"depth": 5000}), "no log_thresholds of 5000 times 20"),
    "deep and convex": (network("convex", spec={"depth": 5000}), "logits of 5000"),
    "channels": (network(spec={"channels": 2**20}), "map.last.weight of"),
    "blocks": (network(spec={"blocks": 60}), "blocks is 60 and must be from 1 to 8"),
    "few blocks": (network(spec={"blocks": 1}), "not those of such a model"),
    "unknown": (network(spec={"overlap": 2}), "'overlap', which is not known"),
    "NaN": (network(log_thresholds=torch.full((3, 20), torch.nan)), "NaN, infinite or huge"),
    "zero": (network("convex", matrix=torch.zeros(40, 32)), "no norm"),
    "steps": (network(sigma=torch.tensor([1.0, 0.0, 1.0])), "its steps are"),
    "theta": (network(theta=torch.tensor([1.0, -1.0, 1.0])), "extrapolation"),
    "no map": (network(weight=None), "not those of such a model"),
}


@pytest.mark.parametrize("name", BAD_NETWORKS)
def test_a_sentence_of_networks(name: str, tmp_path: Path) -> None:
    spoil, said = BAD_NETWORKS[name]
    path = tmp_path / "model.safetensors"
    spoil(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ed.ErgodualError) as caught:
        load_model(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


@pytest.mark.parametrize("model", ["network", "convex"])
def test_networks_come_back(model: str, tmp_path: Path) -> None:
    path, made = tmp_path / "model.safetensors", small(model)
    save_model(path, made, made.spec, NETWORK)
    again, spec, metadata = load_model(path)
    assert (spec, metadata) == (made.spec, NETWORK)
    x_tilde = torch.full((1, 100), 3.0)
    assert torch.equal(again(x_tilde), made(x_tilde))
    tool = ed.Dequantizer.load(path)
    assert (tool.rate, list(tool.networks), tool.models) == (16_000, [4], {})
    stored = torch.full((100,), 3 / 16, dtype=torch.float64)
    restored = tool.restore(stored, bits=4)
    assert bool(((restored - stored).abs() <= 1 / 16).all())
    assert not torch.equal(restored, stored)
