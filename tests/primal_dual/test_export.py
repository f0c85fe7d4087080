"""A network as an ONNX file: onnxruntime runs it to the same numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ergodual as ed

NETWORKS: dict[str, tuple[Callable[[], ed.Unrolled], tuple[int, ...]]] = {
    "a matrix, per iteration": (
        lambda: ed.Unrolled(
            [ed.Problem(ed.L1(0.3), ed.Box(radius=0.2), ed.Dense.dct(16)) for _ in range(3)]
        ),
        (16,),
    ),
    "filters": (
        lambda: ed.Unrolled(
            ed.InverseProblem(
                data=ed.SquaredL2(),
                F=ed.L1(0.1),
                K=ed.Conv(torch.linspace(-1, 1, 36).view(4, 1, 3, 3)),
                G=ed.NonNegative(),
            ),
            3,
            ed.StepSizes.balanced(by_part=True),
            ed.Last(),
        ),
        (1, 8, 8),
    ),
    "total variation": (
        lambda: ed.Unrolled(
            ed.Problem(ed.L21(0.1, dim=1), ed.SquaredL2(), ed.Gradient()),
            3,
            ed.StepSizes.accelerated(1.0),
            ed.Last(),
        ),
        (8, 8),
    ),
    "a sparse matrix, a simplex, an l1 ball": (
        lambda: ed.Unrolled(
            ed.InverseProblem(
                A=ed.Tomography(6, 4), data=ed.LInf(0.4), F=ed.L1(0.1), G=ed.Simplex()
            ),
            3,
            ed.StepSizes.balanced(),
        ),
        (4, 9),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_as_numbers_change_nothing(name: str) -> None:
    make, sample = NETWORKS[name]
    model, x = make(), torch.rand(2, *sample, generator=torch.Generator().manual_seed(0))
    fixed = model.with_fixed_steps(x)
    assert torch.equal(fixed(x), model(x))
    assert fixed.problem is model.problem
    assert fixed.steps.given()
    assert not model.steps.given()


@pytest.mark.filterwarnings("ignore")  # of the exporter's own
@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_runs_it_to_the_same_numbers(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs pip install -e '.[oracles]'")
    pytest.importorskip("onnxscript", reason="needs pip install -e '.[oracles]'")
    make, sample = NETWORKS[name]
    model, x = make().eval(), torch.rand(2, *sample, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        program = torch.onnx.export(model.with_fixed_steps(x), (x,), dynamo=True, verbose=False)
        program.save(tmp_path / "network.onnx")
        session = runtime.InferenceSession(
            tmp_path / "network.onnx", providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), model(x))
