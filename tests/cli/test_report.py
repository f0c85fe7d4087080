"""The report: whole in one file, drawn without complaint by a browser, with players that hold what
was restored.
"""

import base64
import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import chromium, needs_chromium

from ergodual.cli import main

DECODED = """
const done = arguments[arguments.length - 1];
const context = new OfflineAudioContext(1, 1, 16000);
Promise.all([...document.querySelectorAll('audio')].map(async player => {
  const sound = await context.decodeAudioData(await (await fetch(player.src)).arrayBuffer());
  return [sound.duration, player.error === null];
})).then(done, error => done(String(error)));
"""


LEARNED = {
    "frames": ["--depth", "3", "--learn", "K", "steps", "weights", "--per-iteration"],
    "network": ["--depth", "3", "--frame", "32", "--model", "network"],
    "convex": ["--depth", "2", "--frame", "32", "--model", "convex"],
}


@pytest.fixture(params=LEARNED)
def page(
    request: pytest.FixtureRequest,
    recordings: Callable[..., Path],
    leave_behind: Callable[[Path], Path],
    tmp_path: Path,
) -> Path:
    corpus, dev = recordings(samples=9000), recordings("dev", 2, 8000)
    (dev / "0.wav").rename(dev / os.fsdecode(b"caf\xe9.wav"))  # which is no UTF-8
    left = leave_behind(tmp_path)
    options = [*LEARNED[request.param], "--epochs", "2", "--dev", str(dev)]
    assert main(["train", "--corpus", str(corpus), "--out", str(tmp_path / "run"), *options]) == 0
    assert (
        main(
            [
                "report",
                str(tmp_path / "run"),
                "--out",
                str(tmp_path / "page.html"),
                "--seconds",
                "0.4",
            ]
        )
        == 0
    )
    assert not left.exists()
    return tmp_path / "page.html"


def players(page: Path) -> list[np.ndarray]:
    found = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page.read_text())
    return [soundfile.read(io.BytesIO(base64.b64decode(sound)))[0] for sound in found]


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether the page is about a model of whole recordings."""
    return bool(request.node.callspec.params["page"] != "frames")


def test_everything_is_in_the_page(page: Path, whole: bool) -> None:
    text = page.read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    # the icon; of each of two clips four players, and two pictures or three; four of the run, and
    # the levels
    assert len(sources) == 1 + 2 * (7 if whole else 6) + 5
    assert all(source.startswith("data:") for source in sources)
    true, stored, restored, wrong = players(page)[:4]
    assert len(true) == 6400
    assert len(np.unique(stored)) <= 16
    assert not np.allclose(restored, stored, atol=1e-3)
    assert np.allclose(restored - true, wrong, atol=2**-14)
    assert np.abs(restored - stored).max() <= 0.5 * 2**-4 + 2**-14  # half a cell at half the scale
    for heading in ("ESTOI", "SNR in dB", "DCT, converged", "learned", r"caf\udce9"):
        assert heading in text


@needs_chromium
def test_in_a_browser(page: Path, whole: bool, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium(tmp_path, "browser") as browser:
        browser.get(page.as_uri())
        # megabytes of a page on a busy machine: get may return before all of it is there
        WebDriverWait(browser, 60).until(
            lambda one: one.execute_script("return document.readyState") == "complete"
        )
        widths = browser.execute_script(
            "return [...document.images].map(image => image.complete && image.naturalWidth)"
        )
        assert len(widths) == (11 if whole else 9)
        assert all(width > 300 for width in widths)
        sounds = browser.execute_async_script(DECODED)
        assert len(sounds) == 8
        for duration, playable in sounds:
            assert duration == pytest.approx(0.4, abs=1e-3)
            assert playable
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )
        assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: shutil.rmtree(run), "is not a folder"),
        (lambda run: (run / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda run: (run / "log.jsonl").write_text("{"), "is damaged"),
        (lambda run: (run / "log.jsonl").unlink(), "is damaged"),
    ],
)
def test_bad_runs(
    change: Callable[[Path], object],
    said: str,
    recordings: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert (
        main(
            [
                "train",
                "--corpus",
                str(recordings()),
                "--out",
                str(run),
                "--depth",
                "1",
                "--epochs",
                "1",
                "--frame",
                "16",
            ]
        )
        == 0
    )
    change(run)
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "page.pdf"], "does not end in .html"),
        (["--out", "nowhere/page.html"], "nowhere is not a folder"),
        (["--out", "page.html", "--count", "0"], "--count is 0"),
        (["--out", "page.html", "--seconds", "nan"], "--seconds is nan"),
    ],
)
def test_bad_options(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run", *options]) == 2
    assert said in capsys.readouterr().err
