"""Tags in Latin-1 go where strings are UTF-8; points where a format has them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ergodual.cli import main


@pytest.mark.parametrize("target", ["out.flac", "out.wav"])
@pytest.mark.parametrize("title", ["été".encode(), "été".encode("latin-1")])
def test_a_title_that_is_no_utf_8(target: str, title: bytes, tmp_path: Path) -> None:
    source, out = tmp_path / "in.aiff", tmp_path / target
    with soundfile.SoundFile(source, "w", 16_000, 1, "PCM_16") as file:
        soundfile._snd.sf_set_string(file._file, 1, title)
        file.write(np.sin(np.arange(4000) / 20))
    assert main(["dequantize", str(source), str(out)]) == 0
    with soundfile.SoundFile(out) as file:
        kept = soundfile._ffi.string(soundfile._snd.sf_get_string(file._file, 1))
    assert kept == ("été".encode() if target == "out.flac" else title)


def with_points(path: Path, label: bytes) -> None:
    """A coarse WAV file with a title, a cue point and a loop."""
    samples = np.rint(7 * np.sin(np.arange(4000) / 20)).astype("<i2") * 4096
    listed = b"adtl" + b"labl" + struct.pack("<II", 4 + len(label), 1) + label
    chunks = {
        b"fmt ": struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16),
        b"LIST": b"INFOINAM" + struct.pack("<I", 4) + b"tea\0",
        b"data": samples.tobytes(),
        b"cue ": struct.pack("<III4sIII", 1, 1, 1000, b"data", 0, 0, 1000),
        b"smpl": struct.pack("<15I", 0, 0, 62_500, 60, 0, 0, 0, 1, 0, 1, 0, 500, 900, 0, 0),
    }
    content = list(chunks.items()) + ([(b"LIST", listed)] if label else [])
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(c)) + c for name, c in content)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize(
    ("target", "label", "not_kept"),
    [
        ("out.wav", b"", None),
        ("out.wav", b"here", "labels of cue points"),
        ("out.flac", b"", "cue points, loops"),
        ("out.aiff", b"", "cue points, loops"),
        ("out.w64", b"", "title, cue points, loops"),
        ("out.raw", b"", "title, cue points, loops"),
    ],
)
def test_points(
    target: str, label: bytes, not_kept: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_points(tmp_path / "in.wav", label)
    assert main(["dequantize", str(tmp_path / "in.wav"), str(tmp_path / target)]) == 0
    said = capsys.readouterr().err
    assert ("not kept" in said) == (not_kept is not None)
    assert not_kept is None or f"not kept in {tmp_path / target}: {not_kept}\n" in said
    made = (tmp_path / target).read_bytes()
    if target == "out.wav":
        at, loop = made.find(b"cue "), made.find(b"smpl")
        assert struct.unpack("<I", made[at + 16 : at + 20]) == (1000,)
        assert struct.unpack("<II", made[loop + 52 : loop + 60]) == (500, 900)
