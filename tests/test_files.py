"""Files are whole or absent, and one process at a time works in a folder."""

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from expr_lib.errors import OutputFailed, RunBusy
from expr_lib.files import (
    digest,
    file_sha256,
    only_one,
    read_json,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)

ROOT = Path(__file__).parents[1]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and limits of POSIX")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("old")
    return path


# --- whole_file


def test_a_new_file_appears_whole_in_a_folder_that_is_made(tmp_path) -> None:
    path = tmp_path / "a" / "b" / "new.txt"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert _names(path.parent) == ["new.txt"]


def test_the_old_content_stands_until_the_last_moment(old) -> None:
    with whole_file(old) as temporary:
        temporary.write_text("new")
        assert old.read_text() == "old"
        assert temporary.parent == old.parent  # so that renaming is one step
        assert temporary.suffix == old.suffix  # numpy.save and others add one of their own
    assert old.read_text() == "new"
    assert _names(old.parent) == ["table.csv"]


def test_whoever_has_the_old_file_open_reads_it_to_its_end(old) -> None:
    with old.open() as reader:
        write_text(old, "new")
        assert reader.read() == "old"
    assert old.read_text() == "new"


def test_a_mistake_while_writing_leaves_the_old_content(old) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(old) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), whole_file(old) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert old.read_text() == "old"
    assert _names(old.parent) == ["table.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_says_so(old, monkeypatch, step) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputFailed) as caught:
        write_text(old, "new")
    monkeypatch.undo()
    message = str(caught.value)
    assert str(old) in message
    assert os.strerror(errno.ENOSPC) in message
    assert "\n" not in message
    assert old.read_text() == "old"
    assert _names(old.parent) == ["table.csv"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path) -> None:
    out = tmp_path / "a" / "out"
    with pytest.raises(KeyboardInterrupt), whole_folder(out) as folder:
        (folder / "one").write_text("1")
        raise KeyboardInterrupt
    assert _names(out.parent) == []
    out.mkdir()  # an empty one may be there
    with whole_folder(out) as folder:
        (folder / "one").write_text("1")
        assert _names(out) == []
    assert _names(out) == ["one"] and _names(out.parent) == ["out"]


def test_a_folder_that_is_not_empty_is_never_replaced(tmp_path) -> None:
    (tmp_path / "theirs").write_text("kept")
    with pytest.raises(OutputFailed, match="cannot write"), whole_folder(tmp_path) as folder:
        (folder / "one").write_text("1")
    assert _names(tmp_path) == ["theirs"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from expr_lib.errors import OutputFailed
from expr_lib.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_text(Path(sys.argv[1]), "x" * 5000)
except OutputFailed as error:
    print(error)
"""


@POSIX
def test_a_real_limit_in_the_middle_of_writing(old) -> None:
    process = _python(LIMITED, old)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert str(old) in said
    assert os.strerror(errno.EFBIG) in said
    assert old.read_text() == "old"
    assert _names(old.parent) == ["table.csv"]


def test_a_path_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputFailed, match="cannot write"):
        write_text(tmp_path / "file" / "inside.txt", "new")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputFailed, match="cannot write"):
        write_text(tmp_path / "folder", "new")
    assert _names(tmp_path) == ["file", "folder"]


@POSIX
def test_others_may_read_what_the_umask_lets_them(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "")
        assert os.umask(0o022) == 0o027  # as it was
        write_text(tmp_path / "b", "")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes == [0o640, 0o644]


# --- JSON and hashes


def test_json_comes_back_and_is_written_in_order(tmp_path) -> None:
    value = {"z": [1, 2.5, None, True], "a": {"name": "Jürgen Φ"}}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "x.json") == value
    assert text.index('"z"') < text.index('"a"')
    assert "Jürgen Φ" in text
    assert text.endswith("}\n")


def test_what_is_no_json_leaves_the_old_file(old) -> None:
    with pytest.raises(TypeError):
        write_json(old, {"a": object()})
    assert old.read_text() == "old"
    with pytest.raises(ValueError):
        read_json(old)
    with pytest.raises(FileNotFoundError):
        read_json(old.parent / "absent.json")


def test_a_digest_tells_content_order_and_where_parts_end() -> None:
    different = [
        (),
        ("",),
        ("a",),
        ("a", "b"),
        ("b", "a"),
        ("ab",),
        (b"ab",),
        (b"a", b"b"),
        (["a", "b"],),
        (1,),
        ("1",),
        (1.5,),
        (None,),
        (b"",),
        (b"", b""),
        ({"a": 1},),
        ({"a": 2},),
    ]
    hashes = [digest(*parts) for parts in different]
    assert len(set(hashes)) == len(different)
    assert all(len(h) == 16 and int(h, 16) >= 0 for h in hashes)


def test_a_digest_is_the_same_in_another_process_and_for_another_key_order(tmp_path) -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    code = "from expr_lib.files import digest; print(digest('x', {'b': 1, 'a': [2]}, b'y'))"
    said, errors = _python(code).communicate(timeout=60)
    assert said.strip() == digest("x", {"a": [2], "b": 1}, b"y"), errors


def test_sha256_of_a_file(tmp_path) -> None:
    content = b"0123456789" * 100_000
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


# --- one process a folder

HOLD = """
import sys
from pathlib import Path
from expr_lib.files import only_one
with only_one(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.readline()
"""
ASK = """
import sys
from pathlib import Path
from expr_lib.errors import RunBusy
from expr_lib.files import only_one
try:
    with only_one(Path(sys.argv[1])):
        print("mine")
except RunBusy as error:
    print(error)
"""


def test_a_second_process_is_told_that_the_folder_is_busy(tmp_path) -> None:
    folder = tmp_path / "run"
    with only_one(folder):
        said, errors = _python(ASK, folder).communicate(timeout=60)
        assert str(folder) in said, errors
        assert "another process" in said
    said, errors = _python(ASK, folder).communicate(timeout=60)
    assert said.strip() == "mine", errors


@POSIX
def test_the_lock_goes_with_a_killed_process(tmp_path) -> None:
    holder = _python(HOLD, tmp_path)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(RunBusy, match="at work"), only_one(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=60)
        with only_one(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_a_mistake_inside_frees_the_folder_and_is_not_hidden(tmp_path) -> None:
    with pytest.raises(ZeroDivisionError), only_one(tmp_path):
        raise ZeroDivisionError
    with only_one(tmp_path), only_one(tmp_path / "another"):
        pass
    assert (tmp_path / "another").is_dir()


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OutputFailed, match=f"cannot write in {folder}"), only_one(folder):
            pass
    (tmp_path / "locked" / ".lock").mkdir(parents=True)
    with pytest.raises(OutputFailed, match="cannot write in"), only_one(tmp_path / "locked"):
        pass


def test_a_time_limit_inside_is_not_taken_for_a_busy_folder(tmp_path) -> None:
    with pytest.raises(Timeout), only_one(tmp_path):
        raise Timeout("another lock")


def test_the_same_process_cannot_hold_a_folder_twice(tmp_path) -> None:
    with only_one(tmp_path), pytest.raises(RunBusy), only_one(tmp_path):
        pass
