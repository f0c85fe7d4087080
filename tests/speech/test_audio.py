"""Every bad recording gets a sentence that names it; every good one is read, whatever its word
length.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ergodual as ed
from ergodual.speech.audio import read_audio, write_audio
from ergodual.speech.corpora import bytes_of, find_audio, load_corpus, synthetic_speech
from ergodual.speech.frames import frame, normalize

SIGNAL = 0.5 * np.sin(np.arange(1000) / 10)


def wav(
    path: Path, signal: np.ndarray = SIGNAL, rate: int = 16_000, subtype: str = "PCM_16"
) -> Path:
    soundfile.write(path, signal, rate, subtype=subtype)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def text(path: Path) -> Path:
    path.write_text("This is no audio.")
    return path


def nothing(path: Path) -> Path:
    path.touch()
    return path


def long_header(path: Path) -> Path:
    content = path.read_bytes()
    at = content.index(b"data")
    path.write_bytes(
        content[:at] + b"JUNK" + (9000).to_bytes(4, "little") + bytes(9000) + content[at:]
    )
    return path


def big_endian(path: Path) -> Path:
    soundfile.write(path, SIGNAL, 16_000, subtype="PCM_16", endian="BIG")
    return path


def no_length(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not audio": (lambda folder: text(folder / "a.wav"), "not a readable WAV or FLAC"),
    "no bytes": (lambda folder: nothing(folder / "a.flac"), "not a readable WAV or FLAC"),
    "no samples": (lambda folder: wav(folder / "a.wav", SIGNAL[:0]), "is empty"),
    "truncated wav": (lambda folder: cut(wav(folder / "a.wav")), "is truncated"),
    "truncated behind a long chunk": (
        lambda folder: cut(long_header(wav(folder / "a.wav")), 0.95),
        "is truncated",
    ),
    "truncated, big-endian": (lambda folder: cut(big_endian(folder / "a.wav")), "is truncated"),
    "flac from a pipe": (
        lambda folder: no_length(wav(folder / "a.flac")),
        "does not declare its length",
    ),
    "truncated header": (
        lambda folder: cut(wav(folder / "a.wav"), 0.01),
        "not a readable WAV or FLAC",
    ),
    "truncated flac": (lambda folder: cut(wav(folder / "a.flac")), "truncated"),
    "nan": (
        lambda folder: wav(
            folder / "a.wav", np.where(np.arange(1000) == 500, np.nan, SIGNAL), subtype="FLOAT"
        ),
        "NaN",
    ),
    "infinite": (
        lambda folder: wav(
            folder / "a.wav", np.where(np.arange(1000) == 500, np.inf, SIGNAL), subtype="FLOAT"
        ),
        "infinite",
    ),
    "missing": (lambda folder: folder / "a.wav", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str, tmp_path: Path) -> None:
    make, said = BAD[name]
    path = make(tmp_path)
    with pytest.raises(ed.ErgodualError, match=said) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "subtype", "error"),
    [
        ("wav", "PCM_U8", 2**-7),
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_32", 2**-23),
        ("wav", "FLOAT", 2**-24),
    ]
    + [
        ("wav", "DOUBLE", 2**-24),
        ("wav", "ULAW", 0.02),
        ("wav", "ALAW", 0.02),
        ("flac", "PCM_S8", 2**-7),
        ("flac", "PCM_24", 2**-23),
    ],
)
def test_word_lengths(ending: str, subtype: str, error: float, tmp_path: Path) -> None:
    samples, rate, channels = read_audio(wav(tmp_path / f"a.{ending}", SIGNAL, 8000, subtype))
    assert (rate, channels, samples.dtype) == (8000, 1, np.float32)
    assert np.abs(samples - SIGNAL).max() <= error


def test_stereo_is_averaged_and_said(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", np.stack([SIGNAL, 0 * SIGNAL], axis=1))
    corpus = load_corpus(tmp_path, 100)
    assert any("a.wav has 2 channels" in note for note in corpus.notes)
    np.testing.assert_allclose(corpus.frames.flatten(), SIGNAL / np.abs(SIGNAL).max(), atol=1e-3)


@pytest.mark.parametrize(
    ("whole", "size"),
    [(0, 0), (36, 0), (8, 0), (0xFFFFFFFF, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)],
)
def test_a_stream_of_unknown_length_is_no_truncated_file(
    whole: int, size: int, tmp_path: Path
) -> None:
    path = wav(tmp_path / "a.wav")
    expected = read_audio(path)[0]
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8], content[at : at + 4] = whole.to_bytes(4, "little"), size.to_bytes(4, "little")
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path)[0], expected)


def test_other_chunks_are_no_samples(tmp_path: Path) -> None:
    """Length 0 and a chunk behind it: the RIFF length says that the file is whole, and empty."""
    path = wav(tmp_path / "a.wav", SIGNAL[:0])
    content = bytearray(path.read_bytes() + b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    content[4:8] = (len(content) - 8).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ed.ErgodualError, match="is empty"):
        read_audio(path)


def test_loud_stereo_does_not_overflow(tmp_path: Path) -> None:
    samples, _, channels = read_audio(
        wav(tmp_path / "a.wav", np.full((10, 2), 3e38), subtype="FLOAT")
    )
    assert channels == 2
    assert np.isfinite(samples).all()


def test_corpus_skips_what_has_no_frame_and_says_so(tmp_path: Path) -> None:
    wav(tmp_path / "good.wav")
    wav(tmp_path / "short.wav", SIGNAL[:99])
    wav(tmp_path / "silent.flac", 0 * SIGNAL)
    (tmp_path / "notes.txt").write_text("not audio by its name: ignored")
    corpus = load_corpus(tmp_path, 100)
    assert corpus.files == 1
    assert corpus.frames.shape == (10, 100)
    assert [note.split("/")[-1] for note in corpus.notes] == [
        "short.wav has 99 samples, fewer than one frame of 100; it was skipped.",
        "silent.flac is silent; it was skipped.",
    ]


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda folder: None, "no WAV or FLAC file"),
        (lambda folder: wav(folder / "a.wav", 0 * SIGNAL), "no frame to learn from"),
        (lambda folder: wav(folder / "a.wav", SIGNAL[:99]), "no frame to learn from"),
        (
            lambda folder: (wav(folder / "a.wav"), wav(folder / "b.wav", rate=8000)),
            "b.wav is sampled at 8000 Hz and .*a.wav at 16000 Hz",
        ),
        (lambda folder: (wav(folder / "a.wav"), text(folder / "b.wav")), "b.wav is not a readable"),
    ],
)
def test_bad_corpora(fill: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(ed.ErgodualError, match=said):
        load_corpus(tmp_path, 100)


def test_the_size_of_a_corpus_goes_by_what_can_be_read(tmp_path: Path) -> None:
    files = [wav(tmp_path / "a.wav"), text(tmp_path / "b.wav"), no_length(wav(tmp_path / "c.flac"))]
    assert bytes_of(files) == 4 * 1000


def test_missing_folder() -> None:
    with pytest.raises(ed.ErgodualError, match="is not a folder"):
        find_audio(Path("nowhere"))


def test_frames_and_peak() -> None:
    samples = np.arange(-3, 8, dtype=np.float32)
    assert frame(samples, 4).tolist() == [[-3, -2, -1, 0], [1, 2, 3, 4]]
    assert normalize(samples).max() == 1.0
    with pytest.raises(ed.ErgodualError, match="frame length is 0"):
        frame(samples, 0)


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_written_audio_is_read_back(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    write_audio(path, SIGNAL, 16_000)
    assert np.abs(read_audio(path)[0] - SIGNAL).max() <= 2**-23
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing/a.wav", "cannot be written"),
        ("file/a.wav", "cannot be written"),
        ("folder.wav", "directory"),
        ("a.xyz", "end in .wav"),
    ],
)
def test_nothing_half_written(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(ed.ErgodualError, match=said):
        write_audio(tmp_path / name, SIGNAL, 16_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.wav"]


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.usefixtures("small_files_only")
def test_full_disk(ending: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 60_000)
    with pytest.raises(ed.ErgodualError, match=f"a.{ending} cannot be written"):
        write_audio(tmp_path / f"a.{ending}", noise, 16_000)
    assert not any(tmp_path.iterdir())


def test_shipped_speech() -> None:
    """60 to 90 s at 16 kHz from several voices, under 2 MB; the last clip's voice is no other's."""
    files = find_audio(synthetic_speech())
    corpus = load_corpus(synthetic_speech())
    assert corpus.rate == 16_000
    assert not corpus.notes
    assert 60 <= corpus.frames.numel() / 16_000 <= 90
    assert sum(file.stat().st_size for file in files) < 2e6
    voices = [file.stem[3:] for file in files]
    assert len(set(voices)) >= 6
    assert voices[-1] not in voices[:-1]
