"""Models that come from a release, here a folder behind a ``file://`` address."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

import ergodual as ed
from ergodual import released
from ergodual.speech.models import shipped
from recipes import release

NAMES = (
    "models/speech-16k/4.safetensors",
    "models/speech-16k/gains.json",
    "regularisers/natural-grey.safetensors",
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is released; the package has its hashes alone, and no models."""
    folder = tmp_path / "server"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(released.DATA / name, folder / name)
    monkeypatch.setattr(release, "DATA", folder)
    release.main(folder.as_uri())
    (tmp_path / "data").mkdir()
    shutil.move(folder / released.REGISTRY, tmp_path / "data")
    monkeypatch.setattr(released, "DATA", tmp_path / "data")
    monkeypatch.setenv("ERGODUAL_CACHE", str(tmp_path / "cache"))
    return folder


def test_is_fetched_once(server: Path) -> None:
    stored = (8 * torch.sin(torch.arange(2000) / 9)).round() / 8
    assert shipped() == ["speech-16k"]
    restored = ed.Dequantizer.load("speech-16k").restore(stored)
    kernel = ed.load_regulariser("natural-grey").kernel
    shutil.rmtree(server)
    tool = ed.Dequantizer.load("speech-16k")
    assert tool.gains.rows
    assert torch.equal(tool.restore(stored), restored)
    assert torch.equal(ed.load_regulariser("natural-grey").kernel, kernel)


def test_what_the_package_has_is_not_fetched(server: Path) -> None:
    here = released.DATA / NAMES[2]
    here.parent.mkdir()
    shutil.copy(server / NAMES[2], here)
    shutil.rmtree(server)
    assert released.data_files(NAMES[2]) == [here]


def test_another_file_is_refused(server: Path) -> None:
    (server / NAMES[2]).write_bytes(b"another")
    with pytest.raises(ed.ErgodualError, match="its hash differs"):
        ed.load_regulariser("natural-grey")


def test_a_server_that_is_gone_is_said(server: Path) -> None:
    shutil.rmtree(server)
    with pytest.raises(ed.ErgodualError, match=r"4\.safetensors cannot be reached"):
        ed.Dequantizer.load("speech-16k")


@pytest.mark.usefixtures("server")
def test_names_that_neither_has() -> None:
    with pytest.raises(ed.ErgodualError, match="no regulariser 'x'; give natural-grey, or"):
        ed.load_regulariser("x")
    (released.DATA / released.REGISTRY).write_text(json.dumps({}))
    with pytest.raises(ed.ErgodualError, match="There is no model 'speech-16k'"):
        ed.Dequantizer.load("speech-16k")


@pytest.mark.usefixtures("server")
def test_without_pooch_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(
        ed.ErgodualError, match=r"needs pooch; run pip install 'ergodual\[speech\]'"
    ):
        ed.load_regulariser("natural-grey")
