"""Levels are drawn at the middle of their octaves, also where there is little to draw."""

import math

import pytest

from ergodual.experiments.level_plots import levels_figure
from ergodual.experiments.plots import figure_bytes


def test_where_the_points_are() -> None:
    levels = {"level_2000_4000_db": -1.0, "level_4000_5512_db": -3.0}
    figure = levels_figure({"4 bits": {"learned": levels, "quantized": {}}, "5 bits": {}})
    first = figure.axes[0]
    line = next(one for one in first.lines if one.get_label() == "learned")
    assert line.get_xdata() == pytest.approx([math.sqrt(8e6), math.sqrt(4000 * 5512)])
    assert list(line.get_ydata()) == [-1.0, -3.0]
    drawing = figure_bytes(figure, "svg").decode()
    assert all(text in drawing for text in ("4 bits", "5 bits", "learned", "quantized", ">5.51<"))


def test_what_is_unknown_is_left_out() -> None:
    levels = {"level_2000_4000_db": math.nan, "level_4000_8000_db": 2.0}
    figure = levels_figure({"": {"one": levels}})
    assert list(figure.axes[0].lines[0].get_ydata()) == [2.0]
