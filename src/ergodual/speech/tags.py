"""What a recording says besides its samples: title, artist, date; cue points and loops."""

from __future__ import annotations

import soundfile

STRINGS = (*range(1, 10), 16)
"""Of libsndfile: title, copyright, software, artist, comment, date, album, license, number, genre.
"""
POINTS = ((0x10CE, 0x10CF, 4 + 100 * 280), (0x10D0, 0x10D1, 272))
"""Of libsndfile: the commands that get and set cue points, with the size of its structure of up to
100 of them, and those of instruments, which hold the loops.
"""


def copy_tags(source: soundfile.SoundFile, target: soundfile.SoundFile) -> None:
    """Those that the target's format has, before its first sample is written.

    soundfile has no calls for points, and decodes strings, which need not be UTF-8; so its handle
    of the library is used.
    """
    library, ffi = soundfile._snd, soundfile._ffi
    for number in STRINGS:
        text = library.sf_get_string(source._file, number)
        if text != ffi.NULL and ffi.string(text):
            library.sf_set_string(target._file, number, text)
    for get, put, size in POINTS:
        points = ffi.new("char[]", size)
        if library.sf_command(source._file, get, points, size):
            library.sf_command(target._file, put, points, size)
