"""Downloads, against a server on this machine that serves a tiny COCO: interrupted, damaged, without room, hostile."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections import namedtuple
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from splitbench.bench.tools.data import archives as archives_module
from splitbench.bench.tools.data import fetch as fetch_module
from splitbench.bench.tools.data.archives import Archive, Item
from splitbench.bench.tools.data.fetch import fetch
from splitbench.bench.utils.errors import UserError
from splitbench.datasets import cifar10, coco
from tests.helpers.coco_samples import write_coco
from tests.helpers.command_line import splitbench

BOXES = "annotations/instances_val2017.json"


class Server(ThreadingHTTPServer):
    """Serves ``content``; breaks a connection after ``most`` bytes of a body, and notes every request."""

    daemon_threads = True
    content: dict[str, bytes]
    ranges = True
    head = True
    most: int | None = None
    status: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.base = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        if self.server.head:
            self.answer(body=False)
        else:
            self.send_error(501)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append((self.command, self.path.rsplit("/", 1)[-1], asked))
        content = self.server.content.get(self.path)
        if content is None or (self.server.status and body):
            return self.send_error(self.server.status or 404)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            self.wfile.write(content[start:][: self.server.most])
        return None


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def published(server: Server, path: str, content: bytes, *items: Item) -> Archive:
    server.content[f"/{path}"] = content
    return Archive(path, len(content), hashlib.sha256(content).hexdigest(), items)


@pytest.fixture
def archives(server, tmp_path):
    """COCO's two archives in small, with files that are not wanted beside those that are."""
    root = tmp_path / "source"
    boxes = write_coco(root).read_bytes()
    images = {f"val2017/{file.name}": file.read_bytes() for file in (root / "images" / "val2017").iterdir()}
    noted = zipped({BOXES: boxes, "annotations/captions_val2017.json": b"{}"})
    return [
        published(server, "annotations/annotations_trainval2017.zip", noted, Item(BOXES, bytes=len(boxes))),
        published(server, "zips/val2017.zip", zipped(images), Item("val2017", files=len(images))),
    ]


def get(archives, folder, server, **options):
    fetch(archives, folder, server.base, wait=0, **options)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_fetched_reads_as_coco_and_leaves_nothing_else(archives, server, tmp_path):
    steps: list[str] = []
    get(archives, tmp_path / "coco", server, say=steps.append)
    read = coco.DATASET.load(coco.Options(root=tmp_path / "coco"), "evaluation")
    original = coco.DATASET.load(coco.Options(root=tmp_path / "source"), "evaluation")
    assert [read.digest(index) for index in range(len(read))] == [original.digest(i) for i in range(len(original))]
    assert left(tmp_path / "coco") == ["annotations", "val2017"]
    assert left(tmp_path / "coco" / "annotations") == ["instances_val2017.json"]
    assert steps[-1] == f"wrote {tmp_path / 'coco' / 'val2017'}"


def test_again_asks_the_server_nothing(archives, server, tmp_path):
    get(archives, tmp_path / "coco", server, keep=True)
    assert left(tmp_path / "coco") == ["annotations", "annotations_trainval2017.zip", "val2017", "val2017.zip"]
    server.asked.clear()
    steps: list[str] = []
    get(archives, tmp_path / "coco", server, say=steps.append)
    assert not server.asked and steps == [f"already there: {BOXES}, val2017"]


def test_only_what_is_missing_is_fetched(archives, server, tmp_path):
    """Photographs may lie in ``images`` too, as COCO's loader allows."""
    (tmp_path / "coco").mkdir()
    (tmp_path / "source" / "images").rename(tmp_path / "coco" / "images")
    get(archives, tmp_path / "coco", server)
    assert {name for _, name, _ in server.asked} == {"annotations_trainval2017.zip"}
    assert len(coco.DATASET.load(coco.Options(root=tmp_path / "coco"), "evaluation")) == 6


def test_ctrl_c_leaves_what_has_come_and_the_next_try_goes_on(archives, server, tmp_path, monkeypatch):
    read1, calls = HTTPResponse.read1, []

    def interrupted(response, size):
        calls.append(size)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read1(response, size)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(HTTPResponse, "read1", interrupted)
        get(archives[1:], tmp_path / "coco", server, block=1000)
    assert calls == [1000, 1000, 1000]
    come = (tmp_path / "coco" / "val2017.zip.part").stat().st_size
    assert 0 < come < archives[1].size and left(tmp_path / "coco") == ["val2017.zip.part"]
    get(archives[1:], tmp_path / "coco", server)
    assert server.asked[-1] == ("GET", "val2017.zip", f"bytes={come}-")
    assert left(tmp_path / "coco") == ["val2017"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(archives, server, tmp_path):
    server.most = archives[1].size // 3
    get(archives[1:], tmp_path / "coco", server)
    starts = [asked for command, _, asked in server.asked if command == "GET"]
    assert starts[:3] == [None, f"bytes={server.most}-", f"bytes={2 * server.most}-"]
    assert left(tmp_path / "coco") == ["val2017"]


def test_a_server_without_ranges_is_asked_for_the_whole_file(archives, server, tmp_path):
    server.ranges = False
    part = tmp_path / "coco" / "val2017.zip.part"
    part.parent.mkdir()
    part.write_bytes(b"from another time")
    get(archives[1:], tmp_path / "coco", server)
    assert server.asked[-1] == ("GET", "val2017.zip", "bytes=17-")
    assert left(tmp_path / "coco") == ["val2017"]


def test_a_server_that_always_breaks_off_is_given_up_in_a_sentence(archives, server, tmp_path):
    server.ranges, server.most = False, 100
    with pytest.raises(UserError, match=r"cannot download .*val2017\.zip .*resumes"):
        get(archives[1:], tmp_path / "coco", server)
    assert (
        len([request for request in server.asked if request[0] == "GET"]) == 6
    )  # the first brought bytes, five more did not


@pytest.mark.parametrize(("status", "asked"), [(403, 1), (503, 5)])
def test_refusals_are_final_and_a_server_in_trouble_is_asked_again(archives, server, tmp_path, status, asked):
    server.status = status
    with pytest.raises(UserError, match=f"{status}|Service Unavailable"):
        get(archives[1:], tmp_path / "coco", server)
    assert len([request for request in server.asked if request[0] == "GET"]) == asked


def test_a_missing_file_is_reported(archives, server, tmp_path):
    server.content.clear()
    with pytest.raises(UserError, match="404"):
        get(archives, tmp_path / "coco", server)


def test_no_connection_is_reported_with_what_to_do(archives, server, tmp_path):
    with pytest.raises(UserError, match=r"needs internet.*get annotations_trainval2017.zip elsewhere"):
        fetch(archives, tmp_path / "coco", "http://127.0.0.1:9", wait=0)
    with pytest.raises(UserError, match="http://"):
        fetch(archives, tmp_path / "coco", "file:///etc", wait=0)


def test_an_archive_brought_by_hand_needs_no_server(archives, server, tmp_path):
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "val2017.zip").write_bytes(server.content["/zips/val2017.zip"])
    fetch(archives[1:], tmp_path / "coco", "http://127.0.0.1:9", wait=0)
    assert left(tmp_path / "coco") == ["val2017"]


def test_another_size_on_the_server_is_refused_before_the_download(archives, server, tmp_path):
    server.content["/zips/val2017.zip"] += b"more"
    with pytest.raises(UserError, match="not the official file"):
        get(archives, tmp_path / "coco", server)
    assert {command for command, _, _ in server.asked} == {"HEAD"} and not left(tmp_path / "coco")


def test_a_server_that_says_no_size_may_not_send_more(archives, server, tmp_path):
    server.head = False
    get(archives[:1], tmp_path / "coco", server)
    server.content["/zips/val2017.zip"] += b"more"
    with pytest.raises(UserError, match="sends more than"):
        get(archives, tmp_path / "coco", server)
    assert left(tmp_path / "coco" / "annotations") == ["instances_val2017.json"]


def test_another_content_of_the_same_size_is_removed(archives, server, tmp_path):
    content = bytearray(server.content["/zips/val2017.zip"])
    content[len(content) // 2] ^= 1
    server.content["/zips/val2017.zip"] = bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        get(archives[1:], tmp_path / "coco", server)
    assert not left(tmp_path / "coco")


def test_an_archive_with_a_damaged_file_unpacks_nothing(archives, server, tmp_path):
    """Even where the digest agrees, every file's CRC is made sure of before anything is moved into place."""
    content = bytearray(server.content["/zips/val2017.zip"])
    content[len(content) // 2] ^= 1
    damaged = published(server, "zips/val2017.zip", bytes(content), *archives[1].items)
    with pytest.raises(UserError, match="damaged"):
        get([damaged], tmp_path / "coco", server)
    assert left(tmp_path / "coco") == ["val2017.zip"]


@pytest.mark.parametrize("name", ["../outside.jpg", "val2017/../../outside.jpg", "/outside.jpg", "val2017\\..\\x.jpg"])
def test_paths_that_lead_out_are_refused(server, tmp_path, name):
    archive = published(server, "a.zip", zipped({"val2017/1.jpg": b"1", name: b"2"}), Item("val2017", files=1))
    with pytest.raises(UserError, match="leads out"):
        get([archive], tmp_path / "coco", server)
    assert left(tmp_path / "coco") == ["a.zip"] and left(tmp_path) == ["coco"]


def test_links_are_refused(server, tmp_path):
    link = zipfile.ZipInfo("val2017/link")
    link.external_attr = 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link"):
        get([published(server, "a.zip", stream.getvalue(), Item("val2017", files=1))], tmp_path / "coco", server)


def test_an_archive_with_other_files_than_wanted_is_refused(server, tmp_path):
    archive = published(server, "a.zip", zipped({"val2017/1.jpg": b"1"}), Item("val2017", files=2))
    with pytest.raises(UserError, match="holds 1 files for val2017, not 2"):
        get([archive], tmp_path / "coco", server)


def test_a_full_disk_is_reported_before_the_first_byte(archives, server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    need = sum(archive.unpacked for archive in archives) + archives[1].size + fetch_module._SPARE
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, need - 1))
    with pytest.raises(UserError, match=r"free.*are needed"):
        get(archives, tmp_path / "coco", server)
    assert {command for command, _, _ in server.asked} == {"HEAD"} and not left(tmp_path / "coco")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, need))
    get(archives, tmp_path / "coco", server)


def test_other_files_in_the_place_are_left_alone(archives, server, tmp_path):
    mine = tmp_path / "coco" / "val2017" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UserError, match="has 1 files instead of 6: move it away"):
        get(archives, tmp_path / "coco", server)
    assert mine.read_bytes() == b"mine" and not server.asked


def test_cifar10_comes_as_its_binary_version(server, tmp_path):
    stream = io.BytesIO()
    names = [item.path for item in archives_module.archives("cifar10")[0].items]
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name in [*names, "cifar-10-batches-bin/readme.html"]:
            info = tarfile.TarInfo(name)
            info.size = 2 * 3073
            packed.addfile(info, io.BytesIO(bytes(info.size)))
    items = [Item(name, bytes=2 * 3073) for name in names]
    get([published(server, "cifar-10-binary.tar.gz", stream.getvalue(), *items)], tmp_path / "cifar", server)
    assert len(cifar10.DATASET.load(cifar10.Options(root=tmp_path / "cifar"), "train")) == 10
    assert len(left(tmp_path / "cifar" / "cifar-10-batches-bin")) == 6


def test_a_link_in_a_tar_is_refused(server, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        info = tarfile.TarInfo("data.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(info)
    with pytest.raises(UserError, match="is a link"):
        get([published(server, "a.tar.gz", stream.getvalue(), Item("data.bin", bytes=0))], tmp_path / "c", server)


def test_the_command_takes_a_mirror_and_explains_imagenet(server, tmp_path, capsys):
    server.content["/zips/val2017.zip"] = server.content["/annotations/annotations_trainval2017.zip"] = b"small"
    assert splitbench("data", "fetch", "coco", tmp_path / "coco", "--mirror", server.base) == 2
    assert "not 252,907,541: not the official file" in capsys.readouterr().err
    assert splitbench("data", "fetch", "imagenet", tmp_path / "image net") == 2
    printed = capsys.readouterr()
    assert "nothing was downloaded" in printed.err
    assert f"tar -xf ILSVRC2012_img_val.tar -C '{tmp_path / 'image net'}'/val" in printed.out
