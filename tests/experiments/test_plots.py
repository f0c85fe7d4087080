"""The drawings: they are written whole, the same twice, and cope with little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ergodual.experiments.plots import (
    gradient_figure,
    lightened,
    loss_figure,
    operator_figure,
    save_figure,
    spectrogram_figure,
    waveform_figure,
)

RNG = np.random.default_rng(0)
NOISE = (0.3 * RNG.standard_normal(2000)).astype(np.float32)


def runs(depths: tuple[int, ...], seeds: int, epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "depth": depth,
            "output": output,
            "seed": seed,
            "loss": [1 / (1 + epoch) + 0.1 / depth for epoch in range(epochs + 1)],
            "gradient_norm": [0.1 * depth for _ in range(epochs)],
        }
        for depth in depths
        for output in (("plain", "ergodic") if depth > 1 else ("plain",))
        for seed in range(seeds)
    ]


FIGURES = {
    "loss": lambda: loss_figure(runs((1, 2, 4, 8), 3, 5)),
    "loss, one run": lambda: loss_figure(runs((1,), 1, 1)),
    "gradient": lambda: gradient_figure(runs((1, 2, 4, 8), 3, 5)),
    "gradient, without depth 1": lambda: gradient_figure(runs((2, 4), 1, 2)),
    "waveform": lambda: waveform_figure(NOISE, np.round(NOISE * 8) / 8, NOISE, 8000, 1 / 16),
    "waveform, very short": lambda: waveform_figure(NOISE[:9], NOISE[:9], NOISE[:9], 8000, 1 / 16),
    "spectrograms": lambda: spectrogram_figure({"one": NOISE, "other": 0.5 * NOISE}, 8000),
    "spectrograms, very short": lambda: spectrogram_figure({"one": NOISE[:9]}, 8000),
    "operators": lambda: operator_figure(
        {"one": np.eye(16), "other": RNG.standard_normal((24, 16))}, 8000
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_saved_once(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    for left in ("drawn.svg", "drawn.png"):
        (tmp_path / left).write_text("of an earlier run")
    file = save_figure(figure, tmp_path / "drawn")
    assert list(tmp_path.iterdir()) == [file]
    pixels = name.startswith(("spectrograms", "operators"))
    assert file.name == ("drawn.png" if pixels else "drawn.svg")
    assert file.stat().st_size > 1000


def test_many_lines_are_saved_as_pixels(tmp_path: Path) -> None:
    figure = Figure()
    figure.add_subplot().plot(RNG.standard_normal((2000, 12)))
    assert save_figure(figure, tmp_path / "drawn") == tmp_path / "drawn.png"


@pytest.mark.usefixtures("small_files_only")
def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File too large: '.*/drawn.svg'"):
        save_figure(FIGURES["loss"](), tmp_path / "drawn")
    assert not list(tmp_path.iterdir())


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    first, second = (
        save_figure(loss_figure(runs((1, 2), 2, 3)), tmp_path / name) for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()


def test_depth_1_is_drawn_in_both_panels() -> None:
    plain, ergodic = loss_figure(runs((1, 2), 1, 3)).axes
    assert (
        [line.get_label() for line in plain.lines]
        == [line.get_label() for line in ergodic.lines]
        == ["d = 1", "d = 2"]
    )
    assert np.array_equal(plain.lines[0].get_ydata(), ergodic.lines[0].get_ydata())


def test_a_lighter_drawing_says_the_same() -> None:
    svg = ' <path id="m1.2345" d="M 1.23456 -0.00049 \nL 20.5 3"/>\n  <text>0.0125 of 3</text>\n'
    light = '<path id="m1.2345" d="M 1.23 -0.00 \nL 20.5 3"/>\n<text>0.0125 of 3</text>\n'
    assert lightened(svg) == light
