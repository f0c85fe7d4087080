"""Dequantizing and quantizing at the command line: files, folders and pipes, and every way in which
it can go wrong.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ergodual.cli import main
from ergodual.speech.model import ModelSpec, build, save_model
from ergodual.speech.quantizers import mid_rise

MEANT = np.sin(np.arange(3000) / 9) * np.sin(np.arange(3000) / 800)
STORED = mid_rise(4).quantize(torch.from_numpy(MEANT)).numpy()
SPEC = ModelSpec(n=64, depth=3, units="half-steps")


@pytest.fixture
def model(tmp_path: Path) -> str:
    save_model(tmp_path / "model.safetensors", build(SPEC), SPEC, {"bits": 4, "rate": 16_000})
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "in.wav", STORED, 16_000, "PCM_16")
    return tmp_path / "in.wav"


def inside(file: Path, stored: np.ndarray = STORED) -> bool:
    lower, upper = (edge.numpy() for edge in mid_rise(4).cell(torch.from_numpy(stored)))
    restored = soundfile.read(file)[0]
    return bool(
        ((restored >= lower - 2.0**-23) & (restored <= upper + 2.0**-23)).all()
    ) and not np.allclose(restored, stored, atol=1e-3)


def test_a_file(stored: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = stored.with_name("out.flac")
    assert (
        main(
            [
                "dequantize",
                str(stored),
                str(out),
                "--model",
                model,
                "--bits",
                "auto",
                "--quantizer",
                "auto",
            ]
        )
        == 0
    )
    assert inside(out)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "in.wav: mid-rise, 4 bits, step 0.125" in printed.err
    assert "does less well" not in printed.err


def test_another_rate_is_warned_of(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "in.wav", STORED, 8000, "PCM_16")
    assert (
        main(["dequantize", str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), "--model", model])
        == 0
    )
    assert "its rate is 8000 Hz; the model was trained at 16000 Hz" in capsys.readouterr().err
    assert soundfile.info(tmp_path / "out.wav").samplerate == 8000


def test_what_was_quantized_comes_back(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "meant.wav", 0.99 * MEANT, 16_000, "FLOAT")
    files = [str(tmp_path / name) for name in ("meant.wav", "stored.flac", "out.wav")]
    assert main(["quantize", *files[:2], "--bits", "4", "--normalize"]) == 0
    assert (
        main(
            [
                "dequantize",
                *files[1:],
                "--model",
                model,
                "--bits",
                "4",
                "--quantizer",
                "mid-rise",
                "--subtype",
                "FLOAT",
            ]
        )
        == 0
    )
    assert inside(tmp_path / "out.wav", soundfile.read(tmp_path / "stored.flac")[0])


def test_a_folder(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "many"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.wav", "deeper/b.flac"):
        soundfile.write(folder / name, STORED, 16_000, "PCM_16")
    soundfile.write(folder / "fine.wav", MEANT, 16_000, "PCM_24")
    (folder / "bad.wav").write_text("no audio")
    assert main(["dequantize", str(folder), str(tmp_path / "out"), "--model", model]) == 1
    said = capsys.readouterr().err
    assert (
        "fine.wav: it has more than 2048 different values, so it is not coarsely quantized; "
        "copied unchanged" in said
    )
    assert "1 of 4 files could not be restored" in said
    assert "bad.wav is not a readable" in said
    made = {
        str(file.relative_to(tmp_path / "out"))
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert made == {"a.wav", "deeper/b.flac", "fine.wav"}
    assert inside(tmp_path / "out" / "deeper" / "b.flac")


@pytest.mark.parametrize("name", ["out.wav", "out.flac"])
def test_clipping_is_said(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    soundfile.write(tmp_path / "in.wav", 1.5 * STORED, 16_000, "FLOAT")
    files = [str(tmp_path / "in.wav"), str(tmp_path / name)]
    assert main(["dequantize", *files, "--model", model]) == 0
    said = "samples left [-1, 1] and were cut off there" in capsys.readouterr().err
    assert said == name.endswith("flac")
    assert soundfile.info(files[1]).subtype == ("PCM_24" if said else "FLOAT")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "ergodual", *arguments], capture_output=True, check=False, **options
    )


def test_through_pipes(stored: Path, model: str) -> None:
    done = run("dequantize", "-", "-", "--model", model, input=stored.read_bytes())
    assert done.returncode == 0
    out = stored.with_name("out.wav")
    out.write_bytes(done.stdout)
    assert inside(out)
    assert b"standard input: mid-rise, 4 bits" in done.stderr


@pytest.mark.usefixtures("small_files_only")
def test_a_full_disk(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name, subtype in (("in.wav", "PCM_U8"), ("in.flac", "PCM_16")):
        soundfile.write(tmp_path / name, np.tile(STORED, 6), 16_000, subtype)
        for to in ("out.wav", "out.flac"):
            (tmp_path / to).write_bytes(b"there before")
            assert (
                main(
                    [
                        "dequantize",
                        str(tmp_path / name),
                        str(tmp_path / to),
                        "--model",
                        model,
                        "--bits",
                        "4",
                    ]
                )
                == 2
            )
            assert f"{to} cannot be written" in capsys.readouterr().err
            assert (tmp_path / to).read_bytes() == b"there before"
    assert len(list(tmp_path.iterdir())) == 5


def test_nothing_is_loaded_late_that_swallows_an_interrupt() -> None:
    # one in sixteen signals during the import of this compiled package is lost
    command = "import sys, ergodual; sys.exit('numpy.random' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_interrupted(tmp_path: Path, model: str) -> None:
    soundfile.write(tmp_path / "in.flac", np.tile(STORED, 2000), 16_000, "PCM_16")
    arguments = [
        "dequantize",
        str(tmp_path / "in.flac"),
        str(tmp_path / "out.flac"),
        "--model",
        model,
        "--overlap",
        "0.98",
    ]
    # tests that a shell runs in the background hand on that SIGINT is ignored
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    running = subprocess.Popen(
        [sys.executable, "-m", "ergodual", *arguments], stderr=subprocess.PIPE, **heard
    )
    for _ in range(600):
        if list(tmp_path.glob(".out.flac.*.tmp")):
            break
        time.sleep(0.1)
    assert list(tmp_path.glob(".out.flac.*.tmp"))
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.flac", "model.safetensors"]


def spoilt(change: Callable[[Path], object]) -> Callable[[Path, Path], list[str]]:
    def make(stored: Path, model: Path) -> list[str]:
        change(model)
        return [str(stored), str(stored.with_name("out.wav"))]

    return make


BAD: dict[str, tuple[Callable[[Path, Path], list[str]], str]] = {
    "same": (lambda stored, model: [str(stored), str(stored)], "is the recording itself"),
    "same folder": (
        lambda stored, model: [str(stored.parent), str(stored.parent)],
        "is the folder of the recordings themselves",
    ),
    "folder into file": (
        lambda stored, model: [str(stored.parent), str(stored)],
        "give a folder for the results",
    ),
    "missing": (
        lambda stored, model: [str(stored.with_name("no.wav")), str(stored.with_name("out.wav"))],
        "no.wav cannot be read",
    ),
    "missing folder": (
        lambda stored, model: [str(stored), str(stored.parent / "no" / "out.wav")],
        "no is not a folder",
    ),
    "ending": (
        lambda stored, model: [str(stored), str(stored.with_name("out.mp3"))],
        "does not end in .wav or .flac",
    ),
    "bits": (
        lambda stored, model: [str(stored), str(stored.with_name("out.wav")), "--bits", "0"],
        "0 bits",
    ),
    "kind alone": (
        lambda stored, model: [
            str(stored),
            str(stored.with_name("out.wav")),
            "--quantizer",
            "truncate",
        ],
        "they show mid-rise",
    ),
    "overlap": (
        lambda stored, model: [str(stored), str(stored.with_name("out.wav")), "--overlap", "1"],
        "--overlap is 1.0",
    ),
    "threads": (
        lambda stored, model: [
            str(stored),
            str(stored.with_name("out.wav")),
            "--threads",
            "100000",
        ],
        "--threads is 100000",
    ),
    "flac of floats": (
        lambda stored, model: [
            str(stored),
            str(stored.with_name("out.flac")),
            "--subtype",
            "FLOAT",
        ],
        "does not exist",
    ),
    "model cut": (
        spoilt(lambda model: model.write_bytes(model.read_bytes()[:-9])),
        "not a whole Ergodual model",
    ),
    "newer": (
        spoilt(
            lambda model: model.write_bytes(
                model.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 9')
            )
        ),
        "has format 9",
    ),
    "no model": (spoilt(lambda model: model.unlink()), "There is no model"),
    "other units": (
        spoilt(
            lambda model: save_model(
                model, build(ModelSpec(n=8)), ModelSpec(n=8), {"bits": 4, "rate": 1}
            )
        ),
        "half-steps",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_sentence_and_nothing_written(
    name: str, stored: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = BAD[name]
    arguments = make(stored, Path(model))
    before = {file: file.read_bytes() for file in stored.parent.iterdir()}
    assert main(["dequantize", *arguments, "--model", model]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert {file: file.read_bytes() for file in stored.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bits", "17"], "17 bits"),
        (["--dither", "-1"], "--dither is -1"),
        (["--dither", "nan"], "--dither is nan"),
        (["--seed", "-1"], "--seed is -1"),
    ],
)
def test_quantize_refuses(
    options: list[str], said: str, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stored.with_name("out.wav")
    assert main(["quantize", str(stored), str(out), *options]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()
