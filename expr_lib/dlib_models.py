"""dlib itself, its three models, each loaded once, and images in the layout that dlib takes."""

import threading
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from expr_lib.errors import DlibMissing
from expr_lib.modelfiles import find_embedder, find_predictor

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are just outside."""


def import_dlib() -> ModuleType:
    """Import dlib where a face is looked for: the rest works without it. Raises DlibMissing."""
    try:
        import dlib
    except ImportError as error:
        raise DlibMissing(
            f"dlib, which finds the faces, cannot be imported ({error}); `pip install dlib-bin`, "
            "or `conda install -c conda-forge dlib` in a conda environment, never both"
        ) from error
    return dlib


_of_this_thread = threading.local()


def detector() -> Any:
    """Give this thread its own detector: a shared one returns boxes of another thread's photo."""
    if not hasattr(_of_this_thread, "detector"):
        _of_this_thread.detector = import_dlib().get_frontal_face_detector()
    return _of_this_thread.detector


def predictor_at(path: Path | None) -> Any:
    """Load the 68-point predictor once a process. Raises ModelFileMissing, DlibMissing."""
    import_dlib()  # a missing dlib is said before a missing file is looked for
    return _load_predictor(find_predictor(path))


@lru_cache(maxsize=2)
def _load_predictor(path: Path) -> Any:
    return import_dlib().shape_predictor(str(path))


def embedder_at(path: Path | None) -> tuple[Any, threading.Lock]:
    """Load the face embedding network once a process; hold its lock while it works.

    raises  ModelFileMissing, DlibMissing
    """
    import_dlib()
    return _load_embedder(find_embedder(path))


@lru_cache(maxsize=2)
def _load_embedder(path: Path) -> tuple[Any, threading.Lock]:
    """Give each network a lock, because it keeps its activations in itself."""
    return import_dlib().face_recognition_model_v1(str(path)), threading.Lock()


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Check an image and give it the layout that dlib takes: (H, W, 3) uint8, C-contiguous."""
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or image.shape[2:] not in ((), (3,))
        or not image.size
    ):
        raise ValueError(f"an image is (H, W, 3) or (H, W) uint8, not {image.shape} {image.dtype}")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image)


def resized(photo: np.ndarray, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
    """Resize an image, or the `box` of it, to (width, height), antialiased when that is smaller."""
    if box is None and size == (photo.shape[1], photo.shape[0]):
        return photo
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC, box=box))
