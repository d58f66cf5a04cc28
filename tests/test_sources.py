"""Data sources: what each makes of a folder, and what it says when the folder is wrong."""

import hashlib
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from expr_lib.errors import BadSetting, OutputFailed, SourceError
from expr_lib.photos import COLUMNS
from expr_lib.sources import SOURCES, load_photos
from expr_lib.sources.folder import expression_of
from expr_lib.sources.london import download_london

SHARED = Path(__file__).parents[1].parent / "shared"


def _jpeg(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "grey").save(path, "JPEG")


def _zip(names: list[str]) -> bytes:
    """A zip of tiny JPEGs under these names."""
    photo = io.BytesIO()
    Image.new("RGB", (8, 8)).save(photo, "JPEG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in names:
            zipped.writestr(name, photo.getvalue())
    return archive.getvalue()


NEUTRAL_ZIP = _zip(
    ["neutral_front/001_03.jpg", "neutral_front/002_03.jpg", "neutral_front/001_03.tem"]
)
SMILING_ZIP = _zip(["001_08.jpg", "002_08.jpg", "__MACOSX/._001_08.jpg", ".DS_Store"])


# --- all of them


def test_an_unknown_source_is_refused_with_the_names() -> None:
    with pytest.raises(BadSetting, match=r"'rafdd'.*synthetic, london, folder"):
        load_photos("rafdd", Path())


@pytest.mark.parametrize("source", ["synthetic", "folder"])
def test_a_source_that_cannot_be_downloaded_needs_its_folder(source: str) -> None:
    with pytest.raises(BadSetting, match="--root"):
        load_photos(source, None)


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_folder_is_named(source: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        load_photos(source, tmp_path / "nowhere")


# --- a folder of one's own


def test_folder_reads_people_and_expressions(tmp_path: Path) -> None:
    for name in (
        "anna/happy_2.jpg",
        "anna/Happy-01.PNG",
        "anna/surprised.jpeg",
        "bo b/NEUTRAL.TIFF",
        "bo b/sadness.webp",
        "bo b/.happy.jpg",
        "bo b/happy.txt",
    ):
        _jpeg(tmp_path / name)
    photos = load_photos("folder", tmp_path)
    found = {
        (row.person, row.expression, Path(row.path).name, row.frame)
        for row in photos.table.itertuples()
    }
    assert found == {
        ("anna", "happy", "Happy-01.PNG", 0),
        ("anna", "happy", "happy_2.jpg", 1),
        ("anna", "surprised", "surprised.jpeg", 0),
        ("bo b", "neutral", "NEUTRAL.TIFF", 0),
        ("bo b", "sad", "sadness.webp", 0),
    }
    assert tuple(photos.table.columns) == COLUMNS
    assert all(Path(path).is_absolute() for path in photos.table["path"])
    assert photos.landmarks is None
    assert photos.warnings == ()


def test_folder_warns_of_what_it_leaves_out(tmp_path: Path) -> None:
    for name in ("anna/happy.jpg", "anna/IMG_1.jpg", "anna/smile.jpg", "loose.jpg"):
        _jpeg(tmp_path / name)
    photos = load_photos("folder", tmp_path)
    assert len(photos.table) == 1
    assert len(photos.warnings) == 2
    assert "(2)" in photos.warnings[0]
    assert "anna/IMG_1.jpg, anna/smile.jpg" in photos.warnings[0]
    assert "loose.jpg" in photos.warnings[1]


def test_folder_without_a_photo_shows_what_was_expected_and_found(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"<person>/<expression>.*folder is empty"):
        load_photos("folder", tmp_path)
    _jpeg(tmp_path / "anna" / "smile.jpg")
    with pytest.raises(SourceError, match=r"found there: anna/; in anna/: found there: smile\.jpg"):
        load_photos("folder", tmp_path)


def test_an_expression_is_the_start_of_the_file_name() -> None:
    assert expression_of("Contemptuous3") == "contemptuous"
    assert expression_of("unhappy") is None


# --- the London set


def test_london_reads_the_published_layout(tmp_path: Path) -> None:
    for name in (
        "neutral_front/001_03.jpg",
        "neutral_front/002_03.jpg",
        "neutral_front/.DS_Store",
        "neutral_front/Thumbs.db",
        "smiling_front/001_08.jpg",
        "smiling_front/001_09.jpg",
    ):
        _jpeg(tmp_path / name)
    photos = load_photos("london", tmp_path)
    rows = list(zip(photos.table["person"], photos.table["expression"], strict=True))
    assert rows == [("001", "happy"), ("001", "neutral"), ("002", "neutral")]
    assert len(photos.warnings) == 2
    assert "(1)" in photos.warnings[0]
    assert "002" in photos.warnings[0]
    assert "(1)" in photos.warnings[1]
    assert "smiling_front/001_09.jpg" in photos.warnings[1]


def test_london_unpacks_zips_downloaded_by_hand(tmp_path: Path) -> None:
    (tmp_path / "neutral_front.zip").write_bytes(NEUTRAL_ZIP)
    (tmp_path / "smiling_front.zip").write_bytes(SMILING_ZIP)
    photos = load_photos("london", tmp_path)
    assert list(photos.table["person"]) == ["001", "001", "002", "002"]
    assert photos.warnings == ()
    assert sorted(path.name for path in (tmp_path / "smiling_front").iterdir()) == [
        "001_08.jpg",
        "002_08.jpg",
    ]


def test_london_never_unpacks_outside_its_folder(tmp_path: Path) -> None:
    evil = _zip(
        [
            "neutral_front/001_03.jpg",
            "../evil.jpg",
            "/evil.jpg",
            "neutral_front/../../evil.jpg",
            "..\\evil.jpg",
        ]
    )
    root = tmp_path / "deep" / "root"
    root.mkdir(parents=True)
    (root / "neutral_front.zip").write_bytes(evil)
    (root / "smiling_front.zip").write_bytes(SMILING_ZIP)
    assert len(load_photos("london", root).table) == 3
    assert not list(tmp_path.rglob("*evil*"))


def test_a_damaged_zip_leaves_no_half_folder(tmp_path: Path) -> None:
    damaged = bytearray(NEUTRAL_ZIP)
    damaged[60:90] = bytes(30)  # inside the first photo: its checksum no longer fits
    (tmp_path / "neutral_front.zip").write_bytes(damaged)
    with pytest.raises(SourceError, match=r"neutral_front\.zip is damaged"):
        load_photos("london", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["neutral_front.zip"]


def test_a_wrong_folder_is_answered_with_what_is_in_it(tmp_path: Path) -> None:
    _jpeg(tmp_path / "faces" / "a.jpg")
    with pytest.raises(SourceError, match=r"neutral_front/NNN_03\.jpg.*found there: faces/"):
        load_photos("london", tmp_path)


class _Figshare:
    """A stand-in for figshare's interface on this machine: the list of files, and the files."""

    def __init__(self) -> None:
        self.files = {
            "neutral_front.zip": NEUTRAL_ZIP,
            "smiling_front.zip": SMILING_ZIP,
            "info.csv": b"x",
        }
        self.md5 = {name: hashlib.md5(content).hexdigest() for name, content in self.files.items()}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.answer(self.path.partition("?")[0])
                self.send_response(200 if content is not None else 404)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> bytes | None:
        if path == "/articles/5047666/files":
            return json.dumps([self.entry(name) for name in self.files]).encode()
        return self.files.get(path.removeprefix("/download/"))

    def entry(self, name: str) -> dict[str, str]:
        return {
            "name": name,
            "download_url": f"{self.url}/download/{name}",
            "computed_md5": self.md5[name],
            "supplied_md5": "",
        }


@pytest.fixture
def figshare(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Figshare]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    stand_in = _Figshare()
    thread = threading.Thread(target=stand_in.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield stand_in
    stand_in.server.shutdown()
    stand_in.server.server_close()


def test_london_downloads_checks_and_unpacks_once(figshare: _Figshare, tmp_path: Path) -> None:
    root = download_london(tmp_path / "cache", api=figshare.url)
    assert len(load_photos("london", root).table) == 4
    assert "/download/info.csv" not in figshare.asked
    asked = len(figshare.asked)
    download_london(tmp_path / "cache", api=figshare.url)
    assert len(figshare.asked) == asked


def test_london_takes_up_a_download_that_was_stopped(figshare: _Figshare, tmp_path: Path) -> None:
    smiling = figshare.files.pop("smiling_front.zip")
    with pytest.raises(SourceError, match=r"smiling_front\.zip is not among the files"):
        download_london(tmp_path, api=figshare.url)
    figshare.files["smiling_front.zip"] = smiling
    download_london(tmp_path, api=figshare.url)
    assert sum("neutral" in path for path in figshare.asked) == 1
    assert len(load_photos("london", tmp_path).table) == 4


def test_a_damaged_download_is_not_kept(figshare: _Figshare, tmp_path: Path) -> None:
    figshare.md5["neutral_front.zip"] = "0" * 32
    with pytest.raises(SourceError, match="MD5"):
        download_london(tmp_path, api=figshare.url)
    assert not list(tmp_path.glob("*neutral*"))


def test_without_a_network_the_way_by_hand_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            SourceError, match=r"no network.*neutral_front\.zip.*5047666.*--root"
        ) as caught:
            download_london(tmp_path, api=address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"<html>sign in first</html>", b'{"message": "no"}', b"[1, 2]"])
def test_an_answer_that_is_no_list_of_files_is_told(
    figshare: _Figshare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(figshare, "answer", lambda path: answer)
    with pytest.raises(SourceError, match=r"the answer of .* by hand"):
        download_london(tmp_path, api=figshare.url)


def test_a_cache_that_cannot_be_made_is_told(figshare: _Figshare, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputFailed, match="cache"):
        download_london(tmp_path / "cache", api=figshare.url)


@pytest.mark.skipif(not (SHARED / "data/london").is_dir(), reason="no ../shared/data/london here")
def test_london_finds_the_real_photos() -> None:
    photos = load_photos("london", SHARED / "data" / "london")
    assert photos.warnings == ()
    assert set(photos.table["expression"].value_counts()) == {photos.table["person"].nunique()}
