"""The Face Research Lab London Set (DeBruine & Jones 2017): 102 people, neutral and smiling, CC-BY
4.0.

Published at https://doi.org/10.6084/m9.figshare.5047666 as one zip a folder, of which two are used:
`neutral_front/NNN_03.jpg` and `smiling_front/NNN_08.jpg`, NNN being the person.
"""

import re
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
import requests

from expr_lib.errors import OutputFailed, SourceError
from expr_lib.files import only_one, whole_folder
from expr_lib.photos import photo_table
from expr_lib.sources import PhotoSource, first_few, found_in, left_out, require_folder

DOI = "10.6084/m9.figshare.5047666"
"""Where the set is published; its last number is figshare's number of the article."""

API = "https://api.figshare.com/v2"
"""Figshare's public interface."""

FOLDERS = {"neutral_front": ("03", "neutral"), "smiling_front": ("08", "happy")}
"""The folders used: the number behind the person's in their file names, and the expression."""

LAYOUT = (
    "neutral_front/NNN_03.jpg and smiling_front/NNN_08.jpg, "
    "or neutral_front.zip and smiling_front.zip as published"
)
"""The layout, in words."""

_IGNORED = {".ds_store", "thumbs.db", "desktop.ini"}
_TIMEOUT = 15  # seconds without an answer


def load_london(root: Path | None = None) -> PhotoSource:
    """List the set's photos; without `root` they are downloaded into the cache once.

    root    folder that holds the two folders, or the two zips, which are unpacked beside themselves
    raises  SourceError when the folder is not as published or the download is impossible
    """
    root = download_london() if root is None else require_folder(root, LAYOUT)
    rows: list[dict[str, Any]] = []
    unexpected: list[str] = []
    for folder, (number, expression) in FOLDERS.items():
        place = root / folder
        if not place.is_dir():
            archive = root / f"{folder}.zip"
            if not archive.is_file():
                raise SourceError(f"no {folder} in {root}: expected {LAYOUT}; {found_in(root)}")
            _unpack(archive, place)
        for photo in sorted(place.iterdir()):
            match = re.fullmatch(r"(\d{3})_(\d\d)\.jpe?g", photo.name, flags=re.IGNORECASE)
            if match and match[2] == number:
                rows.append({"path": str(photo), "person": match[1], "expression": expression})
            elif not _ignored(photo.name):
                unexpected.append(f"{folder}/{photo.name}")
    if not rows:
        raise SourceError(
            f"no photo of the London set in {root}: expected {LAYOUT}; {found_in(root)}"
        )
    return PhotoSource(photo_table(rows), warnings=_warnings(rows, unexpected), name="london")


def _ignored(name: str) -> bool:
    """Files that say nothing: what desktops leave behind, and the set's own landmark templates
    (.tem)."""
    return name.startswith(".") or name.lower() in _IGNORED or name.lower().endswith(".tem")


def _warnings(rows: list[dict[str, Any]], unexpected: list[str]) -> tuple[str, ...]:
    people = [row["person"] for row in rows]
    lonely = sorted(person for person in set(people) if people.count(person) == 1)
    return tuple(
        left_out(
            (
                ("people with only one of their two photos", lonely),
                ("files left out because of unexpected names", unexpected),
            )
        )
    )


def download_london(cache: Path | None = None, doi: str = DOI, api: str = API) -> Path:
    """Download the two zips of the set, check their MD5 sums and unpack them; what is there already
    is kept.

    cache    folder to keep them in; None is the user's cache folder
    doi      the published set
    api      address of figshare's public interface
    returns  the folder that holds neutral_front/ and smiling_front/
    raises   SourceError without a network or when what arrives is damaged, OutputFailed when the
             disk is full
    """
    cache = Path(cache) if cache is not None else Path(pooch.os_cache("expr_lib")) / "london"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot make the folder {cache}: {error.strerror}; {_by_hand(doi)}"
        ) from error
    with only_one(cache):
        missing = [folder for folder in FOLDERS if not (cache / folder).is_dir()]
        published = _published_files(doi, api) if missing else {}
        for folder in missing:
            archive = _download(published, f"{folder}.zip", cache, doi)
            _unpack(archive, cache / folder)
            archive.unlink()
    return cache.resolve()


def _by_hand(doi: str) -> str:
    zips = " and ".join(f"{folder}.zip" for folder in FOLDERS)
    return f"download {zips} from https://doi.org/{doi} by hand and give their folder as --root"


def _published_files(doi: str, api: str) -> dict[str, dict[str, Any]]:
    """Ask figshare for the files of an article: name -> its entry with `download_url` and
    `computed_md5`."""
    article = doi.rpartition(".")[2]
    # without a page size the answer holds only the first ten files
    address = f"{api}/articles/{article}/files?page_size=100"
    try:
        answer = requests.get(address, timeout=_TIMEOUT)
        answer.raise_for_status()
        return {entry["name"]: entry for entry in answer.json()}
    except requests.JSONDecodeError as error:
        raise SourceError(
            f"the answer of {address} is not what was expected ({error}); {_by_hand(doi)}"
        ) from error
    except requests.RequestException as error:
        raise SourceError(
            f"no network, or no answer from {address} ({type(error).__name__}); {_by_hand(doi)}"
        ) from error
    except (KeyError, TypeError) as error:
        raise SourceError(f"the answer of {address} lists no files; {_by_hand(doi)}") from error


def _download(published: dict[str, dict[str, Any]], name: str, cache: Path, doi: str) -> Path:
    """Download one published file and check its MD5 sum."""
    if name not in published:
        raise SourceError(
            f"{name} is not among the files published at https://doi.org/{doi}: "
            f"{first_few(sorted(published))}"
        )
    entry = published[name]
    md5 = entry.get("computed_md5") or entry.get("supplied_md5")
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT, progressbar=True)
    try:
        return Path(
            pooch.retrieve(
                entry["download_url"],
                known_hash=f"md5:{md5}",
                fname=name,
                path=cache,
                downloader=downloader,
            )
        )
    except ValueError as error:  # pooch's word for a wrong checksum
        raise SourceError(
            f"{name} arrived damaged: its MD5 sum is not the published {md5}; "
            f"try again, or {_by_hand(doi)}"
        ) from error
    except requests.RequestException as error:
        raise SourceError(
            f"{name} could not be downloaded ({type(error).__name__}); {_by_hand(doi)}"
        ) from error
    except OSError as error:
        raise OutputFailed(
            f"cannot write {cache / name}: {error.strerror or error}; free some space and try again"
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the photos of one zip to `folder`, whole or not at all, whether or not the zip holds
    the folder itself.

    Only plain file names are kept and only files that lie at the top or in one folder of the zip's
    own name, so that nothing is ever written outside `folder`.
    """
    try:
        with zipfile.ZipFile(archive) as zipped, whole_folder(folder) as temporary:
            for entry in zipped.infolist():
                parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
                if entry.is_dir() or parts[:-1] not in ((), (folder.name,)) or _ignored(parts[-1]):
                    continue
                with zipped.open(entry) as source, (temporary / parts[-1]).open("wb") as target:
                    shutil.copyfileobj(source, target)
            if not any(temporary.iterdir()):
                raise SourceError(
                    f"{archive} holds no photo of {folder.name}; "
                    f"download it again from https://doi.org/{DOI}"
                )
    except (zipfile.BadZipFile, EOFError) as error:
        raise SourceError(
            f"{archive} is damaged or no zip ({error}); "
            f"download it again from https://doi.org/{DOI}"
        ) from error
    except OSError as error:
        raise SourceError(f"cannot read {archive}: {error.strerror or error}") from error
