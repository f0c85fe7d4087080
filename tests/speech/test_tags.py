"""Tags of old recordings, in Latin-1, go where strings are UTF-8."""

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
