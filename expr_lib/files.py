"""Files that are whole or absent: atomic writes, JSON, content hashes, and a lock on a folder."""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from expr_lib.errors import OutputFailed, RunBusy


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there replaces `path` in one step, or
    not at all.

    raises  OutputFailed when the disk is full or the folder is not writable; `path` keeps its old
            content
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputFailed(
            f"cannot write {path}: {reason}; what was there before is untouched. "
            "Free some space or choose another folder, and run the same command again"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it becomes `path`, which is absent or empty, in one
    step, or not at all.

    raises  OutputFailed
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as aside:
            made = Path(aside) / path.name
            made.mkdir()
            yield made
            if path.is_dir():
                path.rmdir()
            made.rename(path)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {path}: {error.strerror or error}. Free some space or choose another "
            "folder, and run the same command again"
        ) from error


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


_umask_lock = threading.Lock()


def _umask() -> int:
    with _umask_lock:  # two threads would read each other's 0, and one would leave it set
        mask = os.umask(0)
        os.umask(mask)
    return mask


def sweep(folder: Path) -> None:
    """Remove what a killed process was writing in a folder that nobody else is at work in."""
    for left_over in Path(folder).glob(".partial-*"):
        left_over.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) in one step. Raises OutputFailed."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step, keys in the order given. Raises OutputFailed."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises FileNotFoundError, ValueError when it is not JSON."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digest(*parts: Any) -> str:
    """Short content hash (16 hex digits of SHA-256) of JSON-able values and bytes, in order."""
    sha = hashlib.sha256()
    for part in parts:
        if not isinstance(part, bytes):
            part = json.dumps(part, sort_keys=True, default=str).encode()
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the lock goes with the process, however it ends.

    raises  RunBusy when another process holds it; OutputFailed when the folder is not writable
    """
    folder = Path(folder)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RunBusy(
            f"another process is at work in {folder}; wait until it has finished, or choose "
            "another folder"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputFailed(f"cannot write in {folder}: {reason}; choose another folder") from error
    try:
        yield
    finally:
        lock.release()
