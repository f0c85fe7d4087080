"""The page: what is dropped comes back as the command line restores it, and nothing leaves."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from browser import chromium, needs_chromium

from ergodual.cli import main
from ergodual.speech.quantizers import mid_tread

WATCHED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
def watch(event, given):
    place = {"socket.getaddrinfo": 0, "socket.connect": 1}.get(event)
    host = None if place is None else given[place]
    host = host[0] if isinstance(host, tuple) else host
    if host not in (None, "127.0.0.1", b"127.0.0.1", "localhost"):
        with open(sys.argv[1], "a") as file:
            print(event, given, file=file)
sys.addaudithook(watch)
from ergodual.cli import main
sys.exit(main(["app", "--no-browser"]))
"""
"""The command, and a file that is written to if it reaches for another machine."""


@pytest.fixture
def coarse(tmp_path: Path) -> Path:
    time = np.arange(12_000) / 16_000
    voice = 0.9 * np.sin(2 * np.pi * 210 * time) * np.sin(2 * np.pi * 2.1 * time)
    soundfile.write(
        tmp_path / "coarse.wav", mid_tread(5).quantize(torch.from_numpy(voice)), 16_000, "PCM_16"
    )
    soundfile.write(tmp_path / "fine.flac", voice, 16_000, "PCM_24")
    return tmp_path / "coarse.wav"


def soon(ready: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of the page, which is gone in the end with all that it made, and has called nobody."""
    # for both, or the last bits may differ; here the environment may have been read before
    monkeypatch.setenv("ERGODUAL_PRODUCTS", "torch")
    monkeypatch.setattr("ergodual.products._fixed", "torch")
    made, calls = tmp_path / "made", tmp_path / "calls"
    made.mkdir()
    command = [sys.executable, "-c", WATCHED, str(calls)]
    environment = {**os.environ, "TMPDIR": str(made)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as app:
        try:
            assert app.stdout is not None
            yield app.stdout.readline().split(" ")[0]
        finally:
            app.send_signal(signal.SIGINT)
            try:
                assert app.wait(20) == 0
            finally:
                app.kill()
    assert not calls.exists()
    assert list(made.iterdir()) == []


@needs_chromium
def test_what_is_dropped_comes_back_as_from_the_command_line(
    coarse: Path, address: str, tmp_path: Path
) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    fine, bad, came = coarse.with_name("fine.flac"), tmp_path / "bad.wav", tmp_path / "came"
    bad.write_text("no audio")
    with chromium(came, "performance") as browser:

        def there(selector: str) -> list[Any]:
            return browser.find_elements("css selector", selector)

        def says(selector: str, words: str) -> bool:
            return any(words in one.text for one in there(selector))

        browser.get(address)
        soon(lambda: there("#recordings input[type=file]"))
        there("#recordings input[type=file]")[0].send_keys(f"{coarse}\n{fine}\n{bad}")
        soon(lambda: says("#found", "mid-tread, 5 bits") and there("#restore")[0].is_enabled())
        there("#restore")[0].click()
        soon(lambda: says("#done", "copied unchanged") and there("#all"))
        assert says("#done", "\nbad.wav is not a readable WAV")
        for button in ("#download", "#all"):
            there(button)[0].click()
        soon(lambda: {"coarse.wav", "restored.zip"} <= {file.name for file in came.iterdir()})
        entries = [
            json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
        ]
    sent = [one["params"] for one in entries if one["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in sent]
    assert sum(url.startswith(address) for url in urls) > 10
    # the browser's own first page has these addresses, and no connection
    ours = re.compile(f"(blob:)?{address}|data:|chrome(-untrusted)?:")
    assert [url for url in urls if not ours.match(url)] == []
    assert main(["dequantize", str(coarse), str(tmp_path / "expected.wav")]) == 0
    expected = (tmp_path / "expected.wav").read_bytes()
    assert (came / "coarse.wav").read_bytes() == expected != coarse.read_bytes()
    with zipfile.ZipFile(came / "restored.zip") as archive:
        assert archive.read("coarse.wav") == expected
        assert archive.read("fine.flac") == fine.read_bytes()


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--port", str(port)]) == 2
    assert f"port {port} (Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "0"], "--port is 0; it must be 1 to 65535"),
        (["--host", "203.0.113.7"], "cannot be served at 203.0.113.7, port 7959 ("),
        (["--model", "nothing"], "There is no model 'nothing'"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_bad_options(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", *options]) == 2
    assert said in capsys.readouterr().err
