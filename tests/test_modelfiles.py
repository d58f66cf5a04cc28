import bz2
import functools
import hashlib
import http.server
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from expr_lib import modelfiles
from expr_lib.errors import ModelFileMissing
from expr_lib.modelfiles import (
    EMBEDDER,
    PREDICTOR,
    ModelFile,
    find_embedder,
    find_model,
    find_predictor,
)

CONTENT = b"a small file instead of 100 MB" * 1000
MODEL = ModelFile("small.dat", "EXPR_LIB_SMALL", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
NOWHERE = "http://127.0.0.1:9/"  # the discard port: refused at once


class Site:
    """A web server of one folder, that counts what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *words: object) -> None:
                asked.append(self.path)

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
        )
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/files"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def offer(self, content: bytes) -> None:
        (self.folder / "files").mkdir(exist_ok=True)
        (self.folder / "files" / "small.dat.bz2").write_bytes(content)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    site = Site(folder)
    site.offer(bz2.compress(CONTENT))
    yield site
    site.close()


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch):
    """No package and no variables, unless a test sets them."""
    monkeypatch.setattr(modelfiles, "PACKAGE", "a_package_that_does_not_exist")
    for model in (MODEL, PREDICTOR, EMBEDDER):
        monkeypatch.delenv(model.variable, raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)


def written(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def install_package(folder: Path, monkeypatch, content: bytes = CONTENT) -> Path:
    """Install a package whose import fails, as the real one's does."""
    written(folder / "broken_models" / "__init__.py", b"raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(modelfiles, "PACKAGE", "broken_models")
    return written(folder / "broken_models" / "models" / "small.dat", content)


def test_the_path_given_comes_before_the_variable_and_the_variable_before_the_package(
    tmp_path, monkeypatch
):
    package = install_package(tmp_path / "site-packages", monkeypatch)
    assert find_model(MODEL) == package
    assert "broken_models" not in sys.modules
    variable = written(tmp_path / "variable" / "any_name.dat")
    monkeypatch.setenv(MODEL.variable, str(variable))
    assert find_model(MODEL) == variable
    given = written(tmp_path / "given" / "small.dat")
    assert find_model(MODEL, given) == given


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_named_file_of_another_checksum_is_refused_with_both_checksums(
    tmp_path, monkeypatch, by_variable
):
    install_package(
        tmp_path / "site-packages", monkeypatch
    )  # a good file elsewhere does not hide the mistake
    wrong = written(tmp_path / "wrong.dat", b"another model")
    if by_variable:
        monkeypatch.setenv(MODEL.variable, str(wrong))
    with pytest.raises(ModelFileMissing) as raised:
        find_model(MODEL, None if by_variable else wrong)
    message = str(raised.value)
    assert MODEL.sha256 in message
    assert hashlib.sha256(b"another model").hexdigest() in message
    assert str(wrong) in message
    assert (MODEL.variable in message) == by_variable


def test_a_named_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ModelFileMissing, match=r"no file .*absent\.dat"):
        find_model(MODEL, tmp_path / "absent.dat")


def test_a_file_that_changes_is_checked_again(tmp_path):
    path = written(tmp_path / "small.dat")
    assert find_model(MODEL, path) == path
    written(path, CONTENT + b"!")
    with pytest.raises(ModelFileMissing):
        find_model(MODEL, path)


def test_the_download_is_unpacked_once_and_then_needs_no_network(tmp_path, site):
    cache = tmp_path / "cache"
    path = find_model(MODEL, base_url=site.url, cache=cache)
    assert path == cache / "small.dat"
    assert path.read_bytes() == CONTENT
    assert not list(cache.glob("*.bz2")) and not list(cache.glob(".partial-*"))
    assert find_model(MODEL, base_url=NOWHERE, cache=cache) == path
    assert site.asked == ["/files/small.dat.bz2"]


def test_many_workers_share_one_download(tmp_path, site):
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(find_model, MODEL, None, site.url, tmp_path / "cache") for _ in range(4)
        ]
    assert {job.result() for job in jobs} == {tmp_path / "cache" / "small.dat"}
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "sent",
    [bz2.compress(b"another model"), bz2.compress(CONTENT)[:-20], b"<html>a login page</html>"],
)
def test_a_wrong_download_leaves_nothing_behind_and_the_next_may_succeed(tmp_path, site, sent):
    cache = tmp_path / "cache"
    site.offer(sent)
    with pytest.raises(ModelFileMissing, match="download of"):
        find_model(MODEL, base_url=site.url, cache=cache)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
    site.offer(bz2.compress(CONTENT))
    assert find_model(MODEL, base_url=site.url, cache=cache).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_or_the_package_is_replaced_by_a_download(
    tmp_path, site, monkeypatch
):
    install_package(tmp_path / "site-packages", monkeypatch, content=b"damaged")
    damaged = written(tmp_path / "cache" / "small.dat", CONTENT[:100])
    assert find_model(MODEL, base_url=site.url, cache=tmp_path / "cache") == damaged
    assert damaged.read_bytes() == CONTENT


def test_when_everything_fails_the_error_names_each_place_and_the_way_out(tmp_path):
    with pytest.raises(ModelFileMissing) as raised:
        find_model(MODEL, base_url=NOWHERE, cache=tmp_path / "cache")
    message = str(raised.value)
    for words in (
        MODEL.variable,
        "not installed",
        NOWHERE,
        str(tmp_path / "cache"),
        "pip install",
        "==0.1.3",
    ):
        assert words in message
    assert "\n" not in message


def test_a_cache_that_cannot_be_written_is_one_more_reason(tmp_path, site):
    blocked = written(tmp_path / "a_file")
    with pytest.raises(ModelFileMissing, match="a_file"):
        find_model(MODEL, base_url=site.url, cache=blocked / "cache")


def test_the_files_that_the_tests_themselves_use_are_dlibs(monkeypatch):
    monkeypatch.setattr(modelfiles, "PACKAGE", "face_recognition_models")
    assert find_predictor().stat().st_size == PREDICTOR.size
    assert find_embedder().stat().st_size == EMBEDDER.size
