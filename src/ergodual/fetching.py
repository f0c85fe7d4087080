"""A file from elsewhere, whose hash is known."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from ergodual.errors import ErgodualError

CHUNK = 1 << 18


def fetch(url: str, digest: str, to: Path, name: str, bar: Any = None) -> Path:
    """A file of a folder; it is fetched where it is not there with this hash, which it then has.

    Parameters
    ----------
    url
        Where it is, ``https://…`` or ``file://…``.
    digest
        Its hash, ``sha256:…`` or ``md5:…``.
    to, name
        The folder here, and its name there, which may have folders in it.
    bar
        What pooch takes for a progress bar.

    Raises
    ------
    ErgodualError
        If the network or the folder does not allow it, or the file has another hash.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # else a line for each of 612 files
    responses: list[Any] = []
    keeper = pooch.create(
        path=to,
        base_url="",
        registry={name: digest},
        urls={name: url},
        retry_if_failed=2,
    )
    try:
        return Path(keeper.fetch(name, downloader=_downloader(url, bar, responses)))
    except (ValueError, OSError) as error:  # some errors of requests are both
        if not isinstance(error, OSError):
            raise ErgodualError(
                f"{url} is not the file that we know: its hash differs, so it was not kept; try "
                "again later."
            ) from error
        # those of requests have no number
        if isinstance(error, PermissionError) or error.errno not in (None, errno.ENOENT):
            raise unwritable(error, to) from error
        raise ErgodualError(_unreachable(url, error)) from error
    finally:
        for response in responses:  # pooch leaves the connections of failed attempts open
            response.close()


def _downloader(url: str, bar: Any, responses: list[Any]) -> Callable[..., Any]:
    import pooch

    if url.startswith("file:"):  # which pooch has no downloader for
        return lambda _url, to, _keeper: shutil.copyfile(url2pathname(urlparse(url).path), to)
    found: Callable[..., Any] = pooch.HTTPDownloader(
        progressbar=bar or False,
        chunk_size=CHUNK,
        timeout=60,
        hooks={"response": lambda response, *_, **__: responses.append(response)},
    )
    return found


def _unreachable(url: str, error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"{url} was not given out (HTTP status {response.status_code}); try again later."
    return f"{url} cannot be reached; check the network and try again: what has arrived is kept."


def unwritable(error: OSError, folder: Path) -> ErgodualError:
    """That a folder cannot be written to."""
    reason = error.strerror or "permission denied"
    return ErgodualError(
        f"{error.filename or folder} cannot be written ({reason}); check the folder and the disk."
    )
