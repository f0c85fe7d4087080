"""From file to file: any format in, every cell kept to half a step of the format out, and nothing
half-written.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cases import QUANTIZERS
from hypothesis import given, settings
from hypothesis import strategies as st

import ergodual as ed
from ergodual.speech.convert import dequantize_file, quantize_file
from ergodual.speech.dequantizer import Dequantizer
from ergodual.speech.model import ModelSpec, build
from ergodual.speech.quantizers import a_law, mid_rise, mid_tread, mu_law, quantizer_of

TOOL = Dequantizer({4: build(ModelSpec(n=64, depth=3, units="half-steps"))}, 16_000)
RESOLUTION = {"PCM_U8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 2.0**-23}
MEANT = np.sin(np.arange(3000) / 9) * np.sin(np.arange(3000) / 800)


@pytest.mark.parametrize("to", ["PCM_24", "PCM_16", "FLOAT"])
@pytest.mark.parametrize("bits", [None, 4])
@pytest.mark.parametrize(
    ("name", "subtype", "make"),
    [
        *(
            (f"in.{ending}", subtype, make)
            for ending, subtype in [("wav", "PCM_16"), ("flac", "PCM_24")]
            for make in (mid_rise, mid_tread)
        ),
        *(
            ("in.wav", subtype, mid_rise)
            for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
        ),
        ("in.wav", "ULAW", mu_law),
        ("in.wav", "ALAW", a_law),
    ],
)
def test_every_cell_is_kept(
    tmp_path: Path, name: str, subtype: str, make: Callable, bits: int | None, to: str
) -> None:
    quantizer = make() if subtype in ("ULAW", "ALAW") else make(4)
    stored = quantizer.quantize(torch.from_numpy(np.stack([MEANT, -0.3 * MEANT], axis=1)))
    soundfile.write(tmp_path / name, stored.numpy(), 22_050, subtype)
    as_read = torch.from_numpy(soundfile.read(tmp_path / name)[0])
    kind = {"ULAW": "mu-law", "ALAW": "a-law"}.get(subtype)
    found = dequantize_file(tmp_path / name, tmp_path / "out.wav", TOOL, bits, kind, to).channels[0]
    assert found.quantizer is not None
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (22_050, 2, 3000, to)
    restored = torch.from_numpy(soundfile.read(tmp_path / "out.wav")[0])
    lower, upper = quantizer.cell(as_read)
    slack = RESOLUTION[to] / 2 * (1 + 1e-9)
    top = 1 - RESOLUTION[to] if to != "FLOAT" else np.inf  # what a format cannot hold
    assert ((restored >= lower.clamp(max=top) - slack) & (restored <= upper + slack)).all()
    assert (restored != as_read).double().mean() > 0.5


@pytest.mark.parametrize("gain", [1.0, 0.737, 0.2])
@pytest.mark.parametrize("bits", [3, 5])
def test_the_quantizer_is_worked_out_after_a_change_of_volume(
    tmp_path: Path, gain: float, bits: int
) -> None:
    stored = gain * mid_rise(bits).quantize(torch.from_numpy(MEANT))
    soundfile.write(tmp_path / "in.flac", stored.numpy(), 16_000, "PCM_24")
    found = dequantize_file(tmp_path / "in.flac", tmp_path / "out.flac", TOOL).channels[0]
    assert found.bits == bits
    lower, upper = mid_rise(bits).scaled(gain).cell(stored)
    restored = torch.from_numpy(soundfile.read(tmp_path / "out.flac")[0])
    assert ((restored >= lower.clamp(max=1) - 2.0**-22) & (restored <= upper + 2.0**-22)).all()


@pytest.mark.parametrize("to", ["out.wav", "out.flac"])
@pytest.mark.parametrize(
    "samples",
    [MEANT, np.zeros(99), np.full(99, 0.25), np.asarray([0.3])],
    ids=["good", "silent", "constant", "one"],
)
def test_what_is_not_coarsely_quantized_is_copied(
    tmp_path: Path, samples: np.ndarray, to: str
) -> None:
    soundfile.write(tmp_path / "in.wav", samples, 8000, "PCM_24")
    found = dequantize_file(tmp_path / "in.wav", tmp_path / to, TOOL).channels[0]
    assert found.quantizer is None
    if to.endswith("wav"):
        assert (tmp_path / "in.wav").read_bytes() == (tmp_path / to).read_bytes()
    assert np.array_equal(soundfile.read(tmp_path / "in.wav")[0], soundfile.read(tmp_path / to)[0])


@pytest.mark.parametrize(
    ("subtype", "to", "asked", "written"),
    [
        ("FLOAT", "out.wav", None, "FLOAT"),
        ("DOUBLE", "out.wav", None, "FLOAT"),
        ("FLOAT", "out.flac", None, "PCM_24"),
        ("FLOAT", "out.wav", "PCM_16", "PCM_16"),
        ("PCM_16", "out.wav", None, "PCM_24"),
    ],
)
@pytest.mark.parametrize("coarse", [True, False])
def test_what_leaves_the_scale_is_kept_or_counted(
    tmp_path: Path, subtype: str, to: str, asked: str | None, written: str, coarse: bool
) -> None:
    stored = 1.6 * (mid_tread(4).quantize(torch.from_numpy(MEANT)).numpy() if coarse else MEANT)
    soundfile.write(tmp_path / "in.wav", stored, 8000, subtype)
    done = dequantize_file(tmp_path / "in.wav", tmp_path / to, TOOL, subtype=asked)
    restored = soundfile.read(tmp_path / to)[0]
    if not coarse and to.endswith("wav"):  # a copy
        assert (soundfile.info(tmp_path / to).subtype, done.clipped) == (subtype, 0)
        return
    assert soundfile.info(tmp_path / to).subtype == written
    if subtype == "PCM_16":  # clipped before: its outermost cell has no bound
        assert (np.abs(restored) <= 1).all()
    elif written == "FLOAT":
        assert done.clipped == 0
        assert np.abs(restored).max() > 1.3
    else:
        assert done.clipped > 100
        assert np.abs(restored).max() <= 1


def test_what_is_written_lies_between_the_steps_of_24_bits(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.rint(20 * MEANT) / 2**23, 8000, "PCM_24")
    assert not dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL).copied
    assert soundfile.info(tmp_path / "out.wav").subtype == "FLOAT"
    restored, stored = (soundfile.read(tmp_path / name)[0] for name in ("out.wav", "in.wav"))
    assert 0 < np.abs(restored - stored).max() <= 2.0**-24 * (1 + 1e-6)


def test_each_channel_by_itself(tmp_path: Path) -> None:
    meant = torch.from_numpy(MEANT)
    left, middle = mid_tread(4).quantize(meant).numpy(), mid_rise(6).quantize(-0.9 * meant).numpy()
    fine = np.rint(0.8 * MEANT * 2**15) / 2**15
    soundfile.write(
        tmp_path / "in.wav", np.stack([left, middle, fine, 0 * fine], axis=1), 8000, "PCM_16"
    )
    done = dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL)
    assert not done.copied
    assert [found.bits for found in done.channels] == [4, 6, None, None]
    for said in ("channel 1: mid-tread, 4 bits", "channel 2: mid-rise, 6", "channel 3: it has"):
        assert said in done.said
    restored = soundfile.read(tmp_path / "out.wav")[0]
    assert np.array_equal(restored[:, 2], fine)
    assert not restored[:, 3].any()
    for name, samples, channel in (("left", left, 0), ("middle", middle, 1)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 8000, "PCM_16")
        dequantize_file(tmp_path / f"{name}.wav", tmp_path / "alone.wav", TOOL)
        assert np.array_equal(soundfile.read(tmp_path / "alone.wav")[0], restored[:, channel])
    with pytest.raises(ed.ErgodualError, match="channel 2, has values"):
        dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL, 4)


def test_what_is_off_the_lattice_keeps_its_value(tmp_path: Path) -> None:
    stored = mid_tread(4).quantize(torch.from_numpy(MEANT)).numpy()
    stored[1000:1160] = np.rint(MEANT[1000:1160] * 2**15) / 2**15
    odd = stored[1000:1160] % 0.125 != 0
    soundfile.write(tmp_path / "in.wav", stored, 8000, "PCM_16")
    for bits, kind in ((None, None), (4, None), (4, "mid-tread")):
        done = dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL, bits, kind)
        assert f"{odd.sum()} of 3,000 samples are off the lattice and were kept" in done.said
        restored = soundfile.read(tmp_path / "out.wav")[0]
        assert np.array_equal(restored[1000:1160][odd], stored[1000:1160][odd])
        assert (restored != stored).mean() > 0.8


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65])
def test_short_recordings(tmp_path: Path, length: int) -> None:
    soundfile.write(
        tmp_path / "in.wav",
        mid_rise(4).quantize(torch.from_numpy(MEANT[:length])).numpy(),
        8000,
        "PCM_16",
    )
    dequantize_file(tmp_path / "in.wav", tmp_path / "out.wav", TOOL, 4)
    assert soundfile.info(tmp_path / "out.wav").frames == length


def refusals() -> dict[str, tuple[Callable[[Path], tuple[Path, Path, int | None]], str]]:
    def good(folder: Path) -> Path:
        soundfile.write(
            folder / "in.wav", mid_rise(4).quantize(torch.from_numpy(MEANT)).numpy(), 8000, "PCM_16"
        )
        return folder / "in.wav"

    def holding(content: bytes) -> Callable[[Path], tuple[Path, Path, None]]:
        def make(folder: Path) -> tuple[Path, Path, None]:
            (folder / "in.wav").write_bytes(content)
            return folder / "in.wav", folder / "out.wav", None

        return make

    def not_finite(folder: Path) -> tuple[Path, Path, None]:
        soundfile.write(folder / "in.wav", np.asarray([0.0, np.nan, np.inf]), 8000, "FLOAT")
        return folder / "in.wav", folder / "out.wav", None

    def truncated(folder: Path) -> tuple[Path, Path, None]:
        file = good(folder)
        file.write_bytes(file.read_bytes()[:-100])
        return file, folder / "out.wav", None

    def empty(folder: Path) -> tuple[Path, Path, None]:
        soundfile.write(folder / "in.wav", np.zeros(0), 8000)
        return folder / "in.wav", folder / "out.wav", None

    return {
        "missing": (lambda f: (f / "in.wav", f / "out.wav", None), "cannot be read"),
        "text": (holding(b"hello"), "not a readable"),
        "nothing": (holding(b""), "not a readable"),
        "truncated": (truncated, "truncated"),
        "empty": (empty, "is empty"),
        "not finite": (not_finite, "NaN or infinite"),
        "missing folder": (lambda f: (good(f), f / "no" / "out.wav", None), "is not a folder"),
        "another ending": (lambda f: (good(f), f / "out.mp3", None), "does not end in"),
        "other levels": (lambda f: (good(f), f / "out.wav", 3), "are no levels of a quantizer"),
    }


@pytest.mark.parametrize("name", refusals())
def test_a_sentence_and_nothing_written(tmp_path: Path, name: str) -> None:
    make, sentence = refusals()[name]
    source, target, bits = make(tmp_path)
    if target.parent.is_dir():
        target.write_bytes(b"there before")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ed.ErgodualError, match=sentence):
        dequantize_file(source, target, TOOL, bits, "mid-rise" if bits else None)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def linked(source: Path, target: Path) -> Path:
    target.hardlink_to(source)
    return target


@pytest.mark.parametrize(
    "target",
    [
        lambda file: file,
        lambda file: file.parent / ".." / file.parent.name / file.name,
        lambda file: linked(file, file.with_name("out.wav")),
    ],
    ids=["itself", "another way there", "a link"],
)
@pytest.mark.parametrize(
    "tool",
    [
        lambda source, target: quantize_file(source, target, mid_rise(2)),
        lambda source, target: dequantize_file(source, target, TOOL),
    ],
    ids=["quantize", "dequantize"],
)
def test_a_recording_is_never_its_own_result(
    tmp_path: Path, tool: Callable[[Path, Path], object], target: Callable[[Path], Path]
) -> None:
    file = tmp_path / "in.wav"
    soundfile.write(file, mid_rise(4).quantize(torch.from_numpy(MEANT)).numpy(), 8000, "PCM_16")
    before, out = file.read_bytes(), target(file)
    with pytest.raises(ed.ErgodualError, match="is the recording itself"):
        tool(file, out)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["mid-rise 1", "mid-rise 4", "mid-tread 8", "mid-rise 16", "mu-law", "a-law"]
)
def test_quantized_files_hold_levels(tmp_path: Path, name: str) -> None:
    kind, _, bits = name.partition(" ")
    soundfile.write(tmp_path / "in.wav", 0.5 * MEANT, 8000, "FLOAT")
    quantizer = quantizer_of(kind, int(bits or 8))
    quantize_file(tmp_path / "in.wav", tmp_path / "out.flac", quantizer, normalize=True)
    stored = torch.from_numpy(soundfile.read(tmp_path / "out.flac")[0])
    assert torch.isin(stored, quantizer.levels.clamp(max=1 - 2.0**-23)).all()
    meant = soundfile.read(tmp_path / "in.wav")[0] / (0.5 * np.abs(MEANT).max())
    lower, upper = quantizer.cell(stored)
    assert ((lower.numpy() - 1e-6 <= meant) & (meant <= upper.numpy() + 1e-6)).all()


def test_dither_makes_the_error_independent_of_the_signal(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.full(20_000, 0.1), 8000, "FLOAT")
    for dither, nearest in ((0.0, 0.0), (2.0, 0.1)):
        quantize_file(
            tmp_path / "in.wav", tmp_path / "out.wav", mid_tread(3), dither=dither, seed=1
        )
        assert soundfile.read(tmp_path / "out.wav")[0].mean() == pytest.approx(nearest, abs=5e-3)


@given(
    content=st.binary(max_size=200),
    at=st.integers(0, 80),
    name=st.sampled_from(["in.wav", "in.flac"]),
    whole=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, name: str, whole: bool
) -> None:
    """Noise, and good files with noise written over their beginning: restored, copied, or refused
    with a sentence.
    """
    folder = tmp_path_factory.mktemp("fuzz")
    if whole:
        soundfile.write(
            folder / name,
            mid_rise(4).quantize(torch.from_numpy(MEANT[:300])).numpy(),
            8000,
            "PCM_16",
        )
        good = (folder / name).read_bytes()
        content = good[:at] + content[:8] + good[at + len(content[:8]) :]
    (folder / name).write_bytes(content)
    try:
        dequantize_file(folder / name, folder / "out.wav", TOOL)
    except ed.ErgodualError:
        assert not (folder / "out.wav").exists()
    else:
        assert soundfile.info(folder / "out.wav").frames > 0
    assert len(list(folder.iterdir())) <= 2


@given(
    samples=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=60),
    name=st.sampled_from(sorted(QUANTIZERS)),
)
@settings(max_examples=100, deadline=None)
def test_whatever_the_samples(
    tmp_path_factory: pytest.TempPathFactory, samples: list[float], name: str
) -> None:
    folder = tmp_path_factory.mktemp("samples")
    stored = QUANTIZERS[name].quantize(torch.tensor(samples, dtype=torch.float64)).numpy()
    soundfile.write(folder / "in.wav", stored, 8000, "DOUBLE")
    found = dequantize_file(folder / "in.wav", folder / "out.wav", TOOL, subtype="FLOAT").channels[
        0
    ]
    restored, as_read = (soundfile.read(folder / file)[0] for file in ("out.wav", "in.wav"))
    if found.quantizer is None:
        assert np.array_equal(restored, as_read)
    else:
        _, lower, upper = found.cells.intervals(torch.from_numpy(as_read))
        assert ((lower.numpy() - 1e-6 <= restored) & (restored <= upper.numpy() + 1e-6)).all()
