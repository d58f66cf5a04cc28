"""Where dlib's two model files come from: a path, a variable, a package, or a checked download."""

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pooch
from filelock import FileLock

from expr_lib.errors import ModelFileMissing
from expr_lib.files import file_sha256

BASE_URL = "http://dlib.net/files/"
"""Where the download comes from; what it brings is checked, so that plain http is no risk."""
PACKAGE = "face_recognition_models"
_CONNECT_SECONDS, _SILENCE_SECONDS = 5, 20


@dataclass(frozen=True)
class ModelFile:
    """One of dlib's model files: name, the variable that may hold its path, bytes and SHA-256."""

    name: str
    variable: str
    size: int
    sha256: str


PREDICTOR = ModelFile(
    "shape_predictor_68_face_landmarks.dat",
    "EXPR_LIB_PREDICTOR",
    99_693_937,
    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
)
EMBEDDER = ModelFile(
    "dlib_face_recognition_resnet_model_v1.dat",
    "EXPR_LIB_EMBEDDER",
    22_466_066,
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)


def find_predictor(path: Path | None = None) -> Path:
    """Find dlib's 68-point predictor, see `find_model`. Raises ModelFileMissing."""
    return find_model(PREDICTOR, path)


def find_embedder(path: Path | None = None) -> Path:
    """Find dlib's face embedding network, see `find_model`. Raises ModelFileMissing."""
    return find_model(EMBEDDER, path)


def find_model(
    model: ModelFile,
    path: Path | None = None,
    base_url: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Find a model file and check it: path given, variable, installed package, cache, download.

    A path that somebody named (argument or variable) is taken or refused, never replaced.

    base_url  where `name`.bz2 is downloaded from, None is BASE_URL
    cache     folder of the download, None is the user's cache folder
    raises    ModelFileMissing when the named file is missing or has another checksum,
              or when every place fails
    """
    named = path or os.environ.get(model.variable)
    if named:
        origin = "the path given" if path else f"the variable {model.variable}"
        named_path = Path(named).expanduser()
        if problem := _problem(named_path, model):
            raise ModelFileMissing(
                f"{origin} names {named_path} as {model.name}, but {problem}; name the right file, "
                f"or name none and `pip install {PACKAGE}==0.1.3`"
            )
        return named_path
    package, package_problem = _from_package(model)
    if package is not None:
        return package
    cache = Path(cache or pooch.os_cache("expr_lib"))
    url = (base_url or BASE_URL).rstrip("/") + f"/{model.name}.bz2"
    downloaded, download_problem = _from_download(model, url, cache)
    if downloaded is not None:
        return downloaded
    raise ModelFileMissing(
        f"{model.name} is at none of the places looked at (variable {model.variable}: not set; "
        f"package {PACKAGE}: {package_problem}; {download_problem}); "
        f"`pip install {PACKAGE}==0.1.3`, or download and unpack {url} by hand "
        f"and set {model.variable} to its path"
    )


def _from_package(model: ModelFile) -> tuple[Path | None, str]:
    """Look into the package without importing it: its import fails beside a new setuptools."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return None, "not installed"
    path = Path(next(iter(spec.submodule_search_locations)), "models", model.name)
    problem = _problem(path, model)
    return (None, problem) if problem else (path, "")


def _from_download(model: ModelFile, url: str, cache: Path) -> tuple[Path | None, str]:
    path = cache / model.name
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(
            cache / f".{model.name}.lock"
        ):  # a dozen workers start one download, not twelve
            if _problem(path, model) is None:
                return path, ""
            return _download(model, url, path)
    except Exception as error:  # requests, urllib3, bz2 and the file system each have their own
        return None, f"download of {url} to {cache}: {_first_line(error)}"


def _download(model: ModelFile, url: str, path: Path) -> tuple[Path | None, str]:
    """Download and unpack aside, so that `path` is whole or absent and no archive stays."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        unpacked = Path(
            pooch.retrieve(
                url,
                known_hash=None,  # the unpacked file is what must be right, and it is checked below
                path=folder,
                fname=f"{model.name}.bz2",
                processor=pooch.Decompress(method="bzip2", name=model.name),
                downloader=pooch.HTTPDownloader(timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS)),
            )
        )
        if problem := _problem(unpacked, model):
            return None, f"download of {url}: {problem}"
        os.replace(unpacked, path)
    return path, ""


def _problem(path: Path, model: ModelFile) -> str | None:
    """Say what is wrong with a file, None when it is the model file to the last byte."""
    if not path.is_file():
        return f"there is no file {path}"
    try:
        stat = path.stat()
        found = _sha256_once(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        return f"{path} cannot be read ({_first_line(error)})"
    if found == model.sha256:
        return None
    return (
        f"its SHA-256 is {found} ({stat.st_size} bytes) instead of {model.sha256} "
        f"({model.size} bytes), and results of another model would not compare"
    )


@lru_cache(maxsize=16)
def _sha256_once(path: Path, size: int, changed: int) -> str:
    """Hash a file once a process; a changed file has another size or time, and so another key."""
    return file_sha256(path)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
