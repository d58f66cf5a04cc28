"""What a result depends on besides its settings: device, library versions, state of the code."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from expr_lib import __version__
from expr_lib.processes import choose_device

ROOT = Path(__file__).resolve().parents[1]
"""Where the library's checkout is."""

REPOSITORY = "https://github.com/expr-lib/expr-lib"
"""Where it is published. A fork changes this line, and the badge and set-up cell of every notebook,
which a test compares with it."""


def describe_device() -> str:
    """The device that networks run on, with its name."""
    device = choose_device()
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name()}"
    return f"{device.type}, {platform.processor() or platform.machine()}"


def library_versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    versions = {"python": platform.python_version(), "expr_lib": __version__}
    told = ("torch", "torchvision", "accelerate", "numpy", "scikit-image", "pandas")
    for name in (*told, "dlib", "dlib-bin"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_state() -> str:
    """The commit that the library is at, `+` behind it when files differ; `unknown` outside a
    checkout."""
    if not (ROOT / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip() or "unknown"
