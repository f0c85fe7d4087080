"""Make the synthetic speech that comes with the package: espeak-ng reads sentences of our own in
several voices.

Needs espeak-ng on the PATH and Ergodual's own dependencies. Run ``python
scripts/make_synthetic_speech.py`` in the project's root; the same version of espeak-ng gives the
same files.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
FOLDER = Path("src/ergodual/data/synthetic")

# name, espeak-ng voice, words a minute, pitch (0 to 99), sentence; the last voice speaks once and
# is held out by the demo
CLIPS = [
    (
        "01-america-man",
        "en-us",
        165,
        40,
        "The river was low that summer, and we walked across it on warm flat stones without "
        "wetting our feet.",
    ),
    (
        "02-britain-woman",
        "en-gb+f2",
        160,
        60,
        "She kept a list of every bird that came to the window, and next to each name she wrote "
        "the hour.",
    ),
    (
        "03-scotland-man",
        "en-gb-scotland+m3",
        155,
        35,
        "Before the bridge was built, a small ferry carried letters, sheep and the doctor over "
        "the bay.",
    ),
    (
        "04-america-woman",
        "en-us+f3",
        170,
        65,
        "If you measure it twice and the numbers disagree, measure it again before you believe "
        "either one.",
    ),
    (
        "05-britain-man",
        "en-gb-x-rp+m1",
        150,
        30,
        "An old clock in the hall struck four, although everybody at the table knew that it was "
        "nearly seven.",
    ),
    (
        "06-caribbean-man",
        "en-029+m7",
        160,
        50,
        "Rain fell on the tin roof all night long, and in the morning the garden smelled of "
        "ginger and lime.",
    ),
    (
        "07-america-man",
        "en-us",
        165,
        40,
        "Please put the blue box on the upper shelf, the green one beneath it, and leave the key "
        "by the door.",
    ),
    (
        "08-britain-woman",
        "en-gb+f2",
        160,
        60,
        "The train stopped between two stations for no reason, so the whole carriage began to "
        "talk at last.",
    ),
    (
        "09-scotland-man",
        "en-gb-scotland+m3",
        155,
        35,
        "He sharpened his pencil with a knife, drew one long line, and said that the roof would "
        "rest on that.",
    ),
    (
        "10-america-woman",
        "en-us+f3",
        170,
        65,
        "Winter light comes late to this valley, yet the children are on the ice as soon as they "
        "can see it.",
    ),
    (
        "11-lancaster-woman",
        "en-gb-x-gbclan+f4",
        155,
        55,
        "Nobody had opened the piano for years, but when she played it only three of the notes "
        "were wrong.",
    ),
    (
        "12-west-midlands-man",
        "en-gb-x-gbcwmd+m5",
        160,
        45,
        "Take the second road on the left, pass the mill, and you will hear the sea before you "
        "can see it.",
    ),
]


def speak(voice: str, speed: int, pitch: int, sentence: str) -> np.ndarray:
    """The sentence at 16 kHz, peak 0.9, with a fifth of a second of near silence around it left as
    espeak-ng makes it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        subprocess.run(
            ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", file, sentence],
            check=True,
        )
        samples, rate = soundfile.read(file)
    length = round(len(samples) * RATE / rate)
    # cutting the spectrum is the ideal resampling of a clip that starts and ends in silence
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    resampled = np.fft.irfft(spectrum, length) * (length / len(samples))
    return np.asarray(0.9 * resampled / np.abs(resampled).max())


def main() -> None:
    """Write all clips."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    seconds = 0.0
    for name, voice, speed, pitch, sentence in CLIPS:
        samples = speak(voice, speed, pitch, sentence)
        soundfile.write(FOLDER / f"{name}.flac", samples, RATE, subtype="PCM_16")
        seconds += len(samples) / RATE
    size = sum(file.stat().st_size for file in FOLDER.glob("*.flac"))
    print(f"{len(CLIPS)} clips, {seconds:.1f} s, {size / 1e6:.2f} MB in {FOLDER}")


if __name__ == "__main__":
    main()
