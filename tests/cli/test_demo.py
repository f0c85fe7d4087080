"""The demo, on recordings small enough for a test."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from ergodual.cli import main


def test_demo(
    recordings: Callable[..., Path],
    leave_behind: Callable[[Path], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "demo"
    leave_behind(out)
    corpus = recordings(count=3, samples=2000)
    assert main(["demo", "--corpus", str(corpus), "--out", str(out), "--bits", "3"]) == 0
    names = {"figure1", "figure2", "waveform", "spectrograms", "operators"}
    pixels = {"spectrograms", "operators"}
    pictures = {f"{name}.png" if name in pixels else f"{name}.svg" for name in names}
    assert {file.name for file in out.iterdir()} == pictures | {
        "figures.json",
        "true.wav",
        "quantized.wav",
        "restored.wav",
    }
    assert soundfile.info(out / "restored.wav").frames == 2000
    found = json.loads((out / "figures.json").read_text())
    assert len(found["runs"]) == 7
    snr = found["snr_db"]
    assert snr["learned, ergodic"] > snr["quantized to 3 bits"]
    printed = capsys.readouterr()
    assert "2.wav, which was not learned from" in printed.out
    assert str(out / "restored.wav") in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    ("options", "count", "said"),
    [
        ([], 1, "only one recording"),
        (["--bits", "0"], 2, "0 bits"),
        (["--corpus", "nowhere"], 2, "nowhere"),
    ],
)
def test_bad_input(
    options: list[str],
    count: int,
    said: str,
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "demo"
    assert (
        main(["demo", "--corpus", str(recordings(count=count)), "--out", str(out), *options]) == 2
    )
    assert said in capsys.readouterr().err
    assert not out.exists()
