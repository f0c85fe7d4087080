"""``train --resume --out RUN`` alone: the options that the run was begun with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ergodual.cli.train import Train
from ergodual.errors import ErgodualError
from ergodual.files import read_json


def with_begun(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command; where it resumes a training, those of that training first, so
    that what is given again counts, and what is not need not be.

    Raises
    ------
    ErgodualError
        If the configuration of the run is damaged.
    """
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    options.add_argument("--resume", action="store_true")
    options.add_argument("--out", type=Path)
    try:
        found, _ = options.parse_known_args(arguments[1:])
    except argparse.ArgumentError:  # which is said when all of them are parsed
        return list(arguments)
    if arguments[:1] != ["train"] or not found.resume or found.out is None:
        return list(arguments)
    file = found.out / "config.json"
    if not file.is_file():  # which is said when it is to be resumed
        return list(arguments)
    return ["train", *_words(file), *arguments[1:]]


def _words(file: Path) -> list[str]:
    advice = "start again in another folder"
    config = read_json(file, advice)
    if not config.keys() <= {field.name for field in fields(Train)}:
        raise ErgodualError(f"{file} is damaged; {advice}.")
    return [word for name, value in config.items() for word in _option(name, value)]


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    return [option, *map(str, value)] if isinstance(value, list) else [option, str(value)]
