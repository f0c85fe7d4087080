"""What a recording says besides its samples: title, artist, date; cue points and loops."""

from __future__ import annotations

import soundfile

STRINGS = {
    1: "title",
    2: "copyright",
    3: "software",
    4: "artist",
    5: "comment",
    6: "date",
    7: "album",
    8: "license",
    9: "track number",
    16: "genre",
}
"""Of libsndfile."""
POINTS = (("cue points", 0x10CE, 0x10CF, 4 + 100 * 280), ("loops", 0x10D0, 0x10D1, 272))
"""Of libsndfile: the commands that get and set cue points, with the size of its structure of up to
100 of them, and those of instruments, which hold the loops.
"""
LABEL = (28, 280)
"""Where the first cue point has its label, and how far the next one's is."""
HAVE_POINTS = ("WAV", "WAVEX")
"""Containers that libsndfile writes points into, without their labels."""

NEED_UTF_8 = ("FLAC", "OGG")
"""Containers whose strings are UTF-8; libsndfile frees twice what FLAC's library refuses."""


def copy_tags(source: soundfile.SoundFile, target: soundfile.SoundFile) -> list[str]:
    """Those that the target's format has, before its first sample is written.

    soundfile has no calls for points, and decodes strings, which need not be UTF-8; so its handle
    of the library is used.

    Returns
    -------
    What is not kept.
    """
    library, ffi = soundfile._snd, soundfile._ffi
    dropped = []
    for number, name in STRINGS.items():
        text = library.sf_get_string(source._file, number)
        if text != ffi.NULL and ffi.string(text):
            said = ffi.string(text)
            if target.format in NEED_UTF_8:
                said = _as_utf_8(said)
            if library.sf_set_string(target._file, number, said):
                dropped.append(name)
    for name, get, put, size in POINTS:
        points = ffi.new("char[]", size)
        if library.sf_command(source._file, get, points, size):
            library.sf_command(target._file, put, points, size)
            if target.format not in HAVE_POINTS:
                dropped.append(name)
            elif name == "cue points" and any(ffi.buffer(points)[:][LABEL[0] :: LABEL[1]]):
                dropped.append("labels of cue points")
    return dropped


def _as_utf_8(text: bytes) -> bytes:
    """Bytes that are no UTF-8 are Latin-1's, as old recordings have them."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1").encode()
    return text
