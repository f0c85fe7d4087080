"""What recordings are said to be, as a table and as JSON; nothing is written."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ergodual.cli import main
from ergodual.speech.audio import read_audio
from ergodual.speech.corpora import find_audio, synthetic_speech
from ergodual.speech.models import model_files
from ergodual.speech.quantizers import cut, mid_rise, mid_tread, mu_law

SPEECH = read_audio(find_audio(synthetic_speech())[0])[0].astype(np.float64)
SPEECH *= 0.97 / np.abs(SPEECH).max()
FINE = np.rint(SPEECH * 2**15) / 2**15


def through(quantizer, x: np.ndarray = SPEECH) -> np.ndarray:
    return quantizer.quantize(torch.from_numpy(x)).numpy()


def inspected(capsys: pytest.CaptureFixture[str], *files: Path | str) -> list[dict]:
    assert main(["inspect", *map(str, files), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["recordings"]


CLICK = through(mid_tread(4))
CLICK[1000:1100] += 0.01
KINDS = {
    "mid-tread": (through(mid_tread(4)), "PCM_16", {"bits": 4, "step": 0.125, "on_lattice": 1.0}),
    "mid-rise": (through(mid_rise(6)), "PCM_24", {"bits": 6, "level_nearest_0": -1 / 64}),
    "8 bits in a byte": (through(mid_tread(8)), "PCM_U8", {"quantizer": "mid-tread", "bits": 8}),
    "floor": (through(cut(mid_tread(5), "floor")), "PCM_16", {"quantizer": "floor", "bits": 5}),
    "mu-law": (through(mu_law()), "ULAW", {"quantizer": "mu-law", "bits": 8}),
    "a click": (CLICK, "PCM_16", {"bits": 4, "on_lattice": 1 - 100 / len(SPEECH)}),
    "fine": (FINE, "PCM_24", {"quantizer": None, "bits": 16}),
    "fine and quiet": (np.rint(FINE * 2**11) / 2**15, "PCM_24", {"quantizer": None, "bits": 12}),
    "fine and floating": (SPEECH, "FLOAT", {"quantizer": None, "bits": None}),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_recording(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, subtype, expected = KINDS[name]
    soundfile.write(tmp_path / "in.wav", samples, 16_000, subtype)
    (recording,) = inspected(capsys, tmp_path / "in.wav")
    assert (recording["subtype"], recording["frames"]) == (subtype, len(samples))
    (part,) = recording["parts"]
    assert part | expected == part, part["said"]
    coarse = part["quantizer"] is not None
    assert coarse == (part["expected_gain_db"] is not None)
    if coarse:
        assert part["expected_gain_db"]["mean"] > part["expected_gain_db"]["least"]


def test_what_was_clipped_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = np.clip(1.3 * through(mid_tread(5)), -1, 1)
    soundfile.write(tmp_path / "in.flac", samples, 16_000, "PCM_24")
    ((part,),) = [one["parts"] for one in inspected(capsys, tmp_path / "in.flac")]
    assert part["clipped"] == (np.abs(1.3 * through(mid_tread(5))) > 1).mean() > 0


def test_stretches_and_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spliced = np.concatenate([through(mid_tread(4))[:40_000], through(mid_tread(6))[40_000:]])
    soundfile.write(tmp_path / "in.wav", np.stack([spliced, FINE], axis=1), 16_000, "PCM_16")
    (recording,) = inspected(capsys, tmp_path / "in.wav")
    parts = [(part["channel"], part["start"], part["bits"]) for part in recording["parts"]]
    assert parts == [(1, 0, 4), (1, pytest.approx(40_000, abs=200), 6), (2, 0, 16)]
    assert all(part["on_lattice"] > 0.99 for part in recording["parts"][:2])


@pytest.fixture
def many(tmp_path: Path) -> Path:
    (tmp_path / "in/deeper").mkdir(parents=True)
    soundfile.write(tmp_path / "in/a.wav", through(mid_tread(4)), 16_000, "PCM_16")
    soundfile.write(tmp_path / "in/deeper/b.flac", FINE, 16_000, "PCM_16")
    (tmp_path / "in/deeper/bad.wav").write_text("no audio")
    return tmp_path / "in"


def test_files_folders_and_what_cannot_be_read(
    many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(many.rglob("*"))
    assert main(["inspect", str(many / "a.wav"), str(many / "deeper")]) == 1
    said = capsys.readouterr()
    assert re.search(r"mid-tread +0\.125 +100\.00% +0 +0\.00%", said.out)
    assert "none: copied" in said.out
    assert "b.flac: it has more than 2048 different values" in said.out
    assert "1 of 3 files could not be read" in said.err
    assert main(["inspect", str(many / "none")]) == 2
    assert "none cannot be read" in capsys.readouterr().err
    assert main(["inspect"]) == 2
    assert "give files or folders" in capsys.readouterr().err
    assert sorted(many.rglob("*")) == before


def test_names_that_are_no_text_keep_their_columns(
    many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (many / "a.wav").rename(many / os.fsdecode(b"caf\xe9 [red].wav"))
    assert main(["inspect", str(many)]) == 1
    heading, _, odd, other = capsys.readouterr().out.splitlines()[1:5]
    assert r"caf\udce9 [red].wav" in odd
    for column, cells in (("format", ("WAV", "FLAC")), ("quantizer", ("mid-tread", "none"))):
        at = heading.index(column)
        assert (odd[at:].startswith(cells[0]), other[at:].startswith(cells[1])) == (True, True)


def test_the_gain_of_a_single_model_is_unknown_and_said_to_be(
    many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(model_files("speech-16k")[0])
    assert main(["inspect", str(many / "a.wav"), "--model", model]) == 0
    said = capsys.readouterr().out
    assert "unknown" in said
    assert f"{model} has no table of gains on other recordings (gains.json)" in said
    assert main(["inspect", str(many / "a.wav")]) == 0
    assert "no table" not in capsys.readouterr().out


def test_a_dry_run_says_the_same(many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(many)]) == 1
    inspected = capsys.readouterr()
    assert main(["dequantize", str(many), str(many.with_name("out")), "--dry-run"]) == 1
    assert capsys.readouterr() == inspected
    assert not many.with_name("out").exists()
    assert main(["dequantize", str(many / "a.wav"), "-", "--dry-run", "--bits", "3"]) == 2
    refused = capsys.readouterr()
    assert (refused.out, "are no levels of a quantizer (3 bits)" in refused.err) == ("", True)
