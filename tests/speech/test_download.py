"""Downloads from a server on this machine: whole, wrong, repeated, impossible."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import ergodual as ed
from ergodual.cli import main
from ergodual.speech.download import LIBRISPEECH_ARCHIVES, download, ieee_registry

FILES = {"train_data/a.wav": b"first", "dev_data/b.wav": b"second"}


class Quiet(SimpleHTTPRequestHandler):
    served: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.served.append(self.path)
        super().do_GET()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pooch.core.time.sleep", lambda seconds: None
    )  # it waits between its attempts


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str], Path]]:
    root, served = tmp_path / "served", []
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(content)
    handler = type("Handler", (Quiet,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(root))) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/", served, root
        http.shutdown()
        thread.join()


def registry() -> dict[str, str]:
    return {
        name: "sha256:" + hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }


def test_files_arrive_once(server: tuple[str, list[str], Path], tmp_path: Path) -> None:
    address, served, _ = server
    for _ in range(2):
        assert download("ieee", tmp_path / "to", address=address, registry=registry()) == [
            tmp_path / "to/train",
            tmp_path / "to/dev",
        ]
    assert (tmp_path / "to/train/a.wav").read_bytes() == b"first"
    assert (tmp_path / "to/dev/b.wav").read_bytes() == b"second"
    assert sorted(served) == ["/dev_data/b.wav", "/train_data/a.wav"]


def test_an_archive_is_unpacked(server: tuple[str, list[str], Path], tmp_path: Path) -> None:
    address, _, root = server
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("LibriSpeech/part/a.flac")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"first"))
    (root / "part.tar.gz").write_bytes(packed.getvalue())
    known = {"part.tar.gz": "md5:" + hashlib.md5(packed.getvalue()).hexdigest()}
    for _ in range(2):
        assert download("librispeech", tmp_path / "to", address=address, registry=known) == [
            tmp_path / "to/LibriSpeech"
        ]
    assert (tmp_path / "to/LibriSpeech/part/a.flac").read_bytes() == b"first"


def test_another_content_is_refused(server: tuple[str, list[str], Path], tmp_path: Path) -> None:
    address, _, root = server
    (root / "train_data/a.wav").write_bytes(b"forged")
    with pytest.raises(ed.ErgodualError, match="not the file that we know"):
        download("ieee", tmp_path / "to", address=address, registry=registry())
    assert not [path for path in (tmp_path / "to").rglob("*") if path.is_file()]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "http://127.0.0.1:9/nowhere/"])
def test_no_network(address: str, tmp_path: Path) -> None:
    with pytest.raises(ed.ErgodualError, match="cannot be reached; check the network") as caught:
        download("ieee", tmp_path / "to", address=address, registry=registry())
    assert "\n" not in str(caught.value)


def test_a_missing_file(server: tuple[str, list[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ed.ErgodualError, match="HTTP status 404"):
        download(
            "ieee", tmp_path / "to", address=server[0], registry={"train_data/none.wav": "md5:0"}
        )


def test_a_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["data", "ieee", "--to", str(file)]) == 2
    assert f"{file} cannot be written" in capsys.readouterr().err


def test_what_is_known() -> None:
    names = list(ieee_registry())
    assert sum(name.startswith("train_data/") for name in names) == 504
    assert sum(name.startswith("dev_data/") for name in names) == 108
    assert all(len(digest) == 64 + len("sha256:") for digest in ieee_registry().values())
    assert all(len(digest) == 32 + len("md5:") for digest in LIBRISPEECH_ARCHIVES.values())
