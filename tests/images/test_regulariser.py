"""Regularisers: scaled by the noise, to a file and back, refused in a sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from skimage import data

import ergodual as ed
from ergodual.images import add_noise, psnr
from ergodual.images.regulariser import Regulariser, load_regulariser
from ergodual.operators.colour import Opponent


def small() -> Regulariser:
    generator = torch.Generator().manual_seed(0)
    kernel = torch.randn(4, 1, 3, 3, generator=generator).half().float() / 4
    weight, width = (torch.full((4, 1, 1), value) for value in (0.25, 0.5))
    return Regulariser(kernel, weight, width, {"noise": 1})


def test_one_serves_all_noise_levels() -> None:
    y = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    in_units, scaled = (
        ed.solve(ed.Problem(F, ed.SquaredL2(), K), sigma * y, tol=1e-6).x
        for sigma in (1.0, 0.1)
        for F, K in [small().terms(noise=sigma)]
    )
    torch.testing.assert_close(scaled, 0.1 * in_units, atol=1e-4, rtol=1e-3)


def test_in_an_inverse_problem_with_a_certificate() -> None:
    F, K = small().terms(noise=0.1, strength=0.5)
    A = ed.Blur(torch.full((3, 3), 1 / 9))
    problem = ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K, G=ed.Box(lower=0.0, upper=1.0))
    b = A(torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(2)))
    solution = ed.solve(problem, b, tol=1e-4)
    assert float(solution.error) <= 1e-4


def test_a_file_and_back(tmp_path: Path) -> None:
    small().save(tmp_path / "small.safetensors")
    found = load_regulariser(tmp_path / "small.safetensors")
    assert found.card == {"noise": 1}
    torch.testing.assert_close(found.kernel, small().kernel)
    assert repr(found) == "Regulariser(4 filters of 3 × 3)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "noise is missing"),
        ({"noise": 0.0}, "noise is 0.0; it must be positive"),
        ({"noise": "a"}, "noise is a str; give a number"),
        ({"noise": 0.1, "strength": float("nan")}, "strength is nan; it must be positive"),
    ],
)
def test_terms_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(ed.ErgodualError, match=said):
        small().terms(**options)


def test_files_refused(tmp_path: Path) -> None:
    with pytest.raises(ed.ErgodualError, match="There is no regulariser 'nothing'"):
        load_regulariser("nothing")
    path = tmp_path / "a.safetensors"
    infinite = {"kernel": torch.full((1, 1, 3, 3), torch.inf)}
    whole = infinite | {"weight": torch.ones(1, 1, 1), "width": torch.ones(1, 1, 1)}
    for write in (
        lambda: path.write_text("none"),
        lambda: save_file(infinite, path),
        lambda: save_file(whole, path, metadata={"ergodual": "{}"}),
    ):
        write()
        with pytest.raises(ed.ErgodualError, match="is no regulariser, or damaged"):
            load_regulariser(path)


def test_the_one_that_comes_with_the_package_denoises() -> None:
    image = torch.from_numpy(data.camera()[100:164, 150:214] / 255).float()[None]
    noisy = add_noise(image, 25 / 255)
    F, K = ed.load_regulariser("natural-grey").terms(noise=25 / 255)
    found = ed.solve(ed.Problem(F, ed.SquaredL2(), K), noisy[None], tol=1e-4)
    assert float(found.error) <= 1e-4
    assert psnr(found.x[0], image) > psnr(noisy, image) + 5


def test_colours_together_are_better_than_by_channel() -> None:
    image = torch.from_numpy(data.chelsea()[100:164, 150:214] / 255).float().permute(2, 0, 1)
    noisy = add_noise(image, 25 / 255)

    def denoised(colour: bool, x_tilde: torch.Tensor) -> torch.Tensor:
        F, K = ed.load_regulariser("natural-grey").terms(noise=25 / 255, colour=colour)
        found = ed.solve(ed.Problem(F, ed.SquaredL2(), K), x_tilde, tol=1e-4)
        assert float(found.error.max()) <= 1e-4
        return found.x.reshape(image.shape)

    alone, together = denoised(False, noisy[:, None]), denoised(True, noisy[None])
    assert psnr(together, image) > psnr(alone, image) + 0.8
    grey = image.mean(0).expand(1, 3, -1, -1)  # that a grey image is seen as one of its size
    (F, K), (F_grey, K_grey) = (small().terms(noise=1.0, colour=colour) for colour in (True, False))
    torch.testing.assert_close(
        F.value(K(grey)), F_grey.value(K_grey(3**0.5 * grey[:, :1])), rtol=1e-5, atol=0.0
    )


def test_colours_behind_a_blur() -> None:
    F, K = small().terms(noise=0.1, colour=True)
    A = ed.Blur(torch.full((3, 3), 1 / 9))
    problem = ed.InverseProblem(A=A, data=ed.SquaredL2(), F=F, K=K)
    b = A(torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2)))
    assert float(ed.solve(problem, b, tol=1e-4).error) <= 1e-4


def test_other_channels_are_refused() -> None:
    F, K = small().terms(noise=0.1, colour=True)
    with pytest.raises(ed.ErgodualError, match=r"shape \(4, 12, 12\); give colours, \(3, height"):
        ed.solve(ed.Problem(F, ed.SquaredL2(), K), torch.rand(1, 4, 12, 12))
    with pytest.raises(ed.ErgodualError, match="chroma is 0; it must be positive"):
        Opponent(0)
