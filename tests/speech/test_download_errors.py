"""Downloads that go wrong half-way, and what is shown meanwhile."""

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import ergodual as ed
from ergodual.speech.download import download, ieee_registry

WRONG = "sha256:" + "0" * 64


class Server:
    """A folder, its address, and the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(handler, *_: object) -> None:  # noqa: N805
                self.asked.append(handler.path)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/"

    def has(self, name: str, content: bytes) -> dict[str, str]:
        """Put a file there; its name and hash."""
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return {name: f"sha256:{hashlib.sha256(content).hexdigest()}"}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "pooch.core.time.sleep", lambda seconds: None
    )  # it waits between its attempts
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    thread = threading.Thread(target=partial(server.http.serve_forever, poll_interval=0.01))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


def archive(name: str, content: bytes = b"flac") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        files.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def whole(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("progress", [False, True])
def test_ieee(progress: bool, server: Server, to: Path, capfd: pytest.CaptureFixture[str]) -> None:
    registry = {**server.has("train_data/a.wav", b"a" * 3000), **server.has("dev_data/b.wav", b"b")}
    assert download("ieee", to, progress, server.address, registry) == [to / "train", to / "dev"]
    assert whole(to) == ["dev/b.wav", "train/a.wav"]
    assert (to / "train" / "a.wav").read_bytes() == b"a" * 3000
    assert progress or capfd.readouterr() == ("", "")  # pooch would print a line a file


def test_only_what_is_missing_or_wrong_is_fetched(server: Server, to: Path) -> None:
    registry = {**server.has("train_data/a.wav", b"a"), **server.has("train_data/b.wav", b"b")}
    download("ieee", to, address=server.address, registry=registry)
    server.asked.clear()
    download("ieee", to, address=server.address, registry=registry)
    assert not server.asked
    (to / "train" / "b.wav").write_bytes(b"spoilt")
    download("ieee", to, address=server.address, registry=registry)
    assert len(server.asked) == 1
    assert (to / "train" / "b.wav").read_bytes() == b"b"


@pytest.mark.parametrize("progress", [False, True])
def test_librispeech(progress: bool, server: Server, to: Path) -> None:
    registry = server.has("part.tar.gz", archive("LibriSpeech/part/1.flac"))
    for _ in range(2):
        assert download("librispeech", to, progress, server.address, registry) == [
            to / "LibriSpeech"
        ]
    assert (to / "LibriSpeech" / "part" / "1.flac").read_bytes() == b"flac"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("name", "content", "digest", "said"),
    [
        ("train_data/a.wav", b"other", WRONG, "train_data/a.wav is not the file that we know"),
        ("train_data/a.wav", None, WRONG, "train_data/a.wav was not given out .HTTP status 404."),
        ("part.tar.gz", b"no archive", None, "part.tar.gz is not an archive"),
        (
            "part.tar.gz",
            archive("../outside"),
            None,
            "part.tar.gz is not an archive that can be unpacked safely",
        ),
    ],
)
def test_bad_files(
    name: str, content: bytes | None, digest: str | None, said: str, server: Server, to: Path
) -> None:
    registry = server.has(name, content) if content is not None else {}
    with pytest.raises(ed.ErgodualError, match=said) as caught:
        download("ieee", to, address=server.address, registry={name: digest or registry[name]})
    assert str(caught.value).count(". ") == 0
    assert whole(to) == (["part.tar.gz"] if name == "part.tar.gz" else [])
    assert not (to.parent / "outside").exists()


@pytest.mark.parametrize(
    ("name", "content", "kept"),
    [
        ("train_data/a.wav", bytes(50_000), []),
        ("part.tar.gz", archive("LibriSpeech/1.flac", bytes(50_000)), ["part.tar.gz"]),
    ],
)
def test_full_disk(
    name: str,
    content: bytes,
    kept: list[str],
    server: Server,
    to: Path,
    request: pytest.FixtureRequest,
) -> None:
    registry = server.has(name, content)
    request.getfixturevalue("small_files_only")
    with pytest.raises(ed.ErgodualError, match="to cannot be written .File too large."):
        download("ieee", to, address=server.address, registry=registry)
    assert not (to / "part.tar.unpacked").exists()
    assert [file for file in whole(to) if "Libri" not in file] == kept


def test_the_registry_is_of_the_corpus_at_hand() -> None:
    if not os.environ.get("ERGODUAL_CORPORA"):
        pytest.skip("ERGODUAL_CORPORA names no folder with the corpora")
    corpora = Path(os.environ["ERGODUAL_CORPORA"])
    for name, digest in ieee_registry().items():
        file = corpora / "ieee" / name.replace("_data/", "/")
        assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" == digest
