"""The ways in agree: pyproject.toml (ranges), constraints.txt (tested), environment.yml (conda)."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
NAMED = ["torch", "torchvision", "dlib-bin", "scikit-image", "matplotlib"]
NAMED += ["jupyterlab", "ipywidgets", "nbval", "papermill"]

# conda-forge's name for a package of the registry, where they differ
REGISTRY_NAME = {
    "pytorch": "torch",
    "dlib": "dlib-bin",
    "matplotlib-base": "matplotlib",
    "nbconvert-core": "nbconvert",
}
# the registry's name for a module, where they differ
MODULE_PACKAGE = {
    "PIL": "pillow",
    "dlib": "dlib-bin",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
TOOLS = {"python", "pip"}  # conda installs them, a pip user has them
BEHIND = "conda-forge is behind"  # a reason with these words may pin another minor than CI's
ANY_MINOR = {"dlib-bin"}  # conda's and the registry's are built apart; landmarks agree within 20


class Line(NamedTuple):
    """One package of environment.yml: registry name, version pin, reason."""

    name: str
    pin: str
    reason: str


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(pyproject: str) -> dict[str, Requirement]:
    """Everything that pyproject.toml asks for, core and extras, by canonical name."""
    project = tomllib.loads(pyproject)["project"]
    texts = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        texts += extra
    return {canonicalize_name(one.name): one for one in map(Requirement, texts)}


def exact_versions(constraints: str) -> dict[str, Version]:
    """The exact versions of constraints.txt by canonical name."""
    pairs = [
        line.split("==") for line in constraints.splitlines() if line and not line.startswith("#")
    ]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def entries(environment: str) -> list[str]:
    """The entries of environment.yml's dependencies as conda reads them, pip's among them."""
    found: list[str] = []
    for entry in yaml.safe_load(environment)["dependencies"]:
        found += entry["pip"] if isinstance(entry, dict) else [entry]
    return found


def lines_of(environment: str) -> list[Line]:
    """The lines of environment.yml that pin a package; the project's own `-e .` is none."""
    body = environment.split("dependencies:\n", 1)[1]
    lines = []
    for match in re.finditer(r"^ +- (?!pip:)(\S.*?)(?: +# *(.*))?$", body, re.MULTILINE):
        entry, reason = match[1], match[2] or ""
        name, _, pin = entry.replace("==", "=").partition("=")
        if entry != "-e .":
            name = canonicalize_name(REGISTRY_NAME.get(name, name))
            lines.append(Line(name, pin.split("=")[0], reason))
    return lines


def imported_packages(code: str) -> set[str]:
    """Packages whose modules `code` imports anywhere, by canonical name; no standard modules."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules.add(node.module.split(".")[0])
    foreign = modules - sys.stdlib_module_names - {"expr_lib"}
    return {canonicalize_name(MODULE_PACKAGE.get(module, module)) for module in foreign}


def constraint_faults(pyproject: str, constraints: str) -> list[str]:
    """What is wrong with constraints.txt: a package that is missing, or outside its range."""
    versions = exact_versions(constraints)
    faults = []
    for name, wanted in requirements(pyproject).items():
        if name not in versions:
            faults.append(f"{name}: not in constraints.txt")
        elif versions[name] not in wanted.specifier:
            faults.append(f"{name}: {versions[name]} of constraints.txt is not in {wanted}")
    return faults


def line_faults(line: Line, wanted: Requirement, version: Version) -> Iterable[str]:
    """What is wrong with the pin of one line, given its range and the version that CI tests."""
    if not re.fullmatch(r"\d+(\.\d+)*(\.\*)?", line.pin):
        yield f"{line.name}: '{line.pin}' is no version pin"
        return
    lowest = Version(line.pin.removesuffix(".*"))
    highest = Version(line.pin.replace("*", "99999"))
    # Of `20.*` only the top can be compared with a floor such as 19.24.6 or a cap such as <21.
    if not (highest in wanted.specifier and (lowest.major, lowest.minor) >= floor(wanted)):
        yield f"{line.name}: {line.pin} is not in {wanted}"
    if BEHIND in line.reason or line.name in ANY_MINOR:
        same = lowest.major == version.major
    else:
        has_minor = line.pin.count(".") >= 1 and line.pin.split(".")[1] != "*"
        same = has_minor and version in SpecifierSet(f"=={line.pin}")
    if not same:
        yield f"{line.name}: {line.pin}, but CI tests {version}"


def floor(wanted: Requirement) -> tuple[int, int]:
    """Major and minor of a requirement's lower bound."""
    bounds = [Version(one.version) for one in wanted.specifier if one.operator in (">=", "==")]
    return (bounds[0].major, bounds[0].minor) if bounds else (0, 0)


def environment_faults(environment: str, pyproject: str, constraints: str) -> list[str]:
    """What is wrong with environment.yml, one sentence a fault."""
    wanted, versions = requirements(pyproject), exact_versions(constraints)
    lines = lines_of(environment)
    faults = [f"{line.name}: no reason" for line in lines if len(line.reason.split()) < 2]
    names = [line.name for line in lines]
    faults += [f"{name}: listed twice" for name in set(names) if names.count(name) > 1]
    faults += [f"{name}: not in environment.yml" for name in wanted if name not in names]
    for line in lines:
        if line.name in TOOLS:
            continue
        if line.name not in wanted or line.name not in versions:
            faults.append(f"{line.name}: not in both pyproject.toml and constraints.txt")
        else:
            faults += line_faults(line, wanted[line.name], versions[line.name])
    return faults


def doctored(text: str, pattern: str, replacement: str) -> str:
    """`text` with exactly one line changed; fails when the pattern does not fit any more."""
    changed, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    assert count == 1, f"{pattern} fits {count} times"
    return changed


def test_constraints_are_exact_and_inside_every_range() -> None:
    assert constraint_faults(text_of("pyproject.toml"), text_of("constraints.txt")) == []


def test_environment_agrees_with_ranges_and_constraints() -> None:
    files = map(text_of, ("environment.yml", "pyproject.toml", "constraints.txt"))
    assert environment_faults(*files) == []


def test_every_entry_that_conda_reads_was_compared() -> None:
    environment = text_of("environment.yml")
    assert len(lines_of(environment)) == len(entries(environment)) - 1  # less `-e .`
    assert "-e ." in entries(environment)


def test_named_packages_are_in_all_three_files() -> None:
    files = requirements(text_of("pyproject.toml")), exact_versions(text_of("constraints.txt"))
    conda = {line.name for line in lines_of(text_of("environment.yml"))}
    for name in NAMED:
        assert all(name in file for file in (*files, conda)), name


def test_dlib_is_no_hard_dependency() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    core = {canonicalize_name(Requirement(one).name) for one in project["dependencies"]}
    assert not core & {"dlib", "dlib-bin"}
    assert "scikit-image" in core


def test_everything_the_library_imports_is_asked_for() -> None:
    declared = requirements(text_of("pyproject.toml"))
    for file in sorted((ROOT / "expr_lib").rglob("*.py")):
        missing = imported_packages(file.read_text(encoding="utf-8")) - declared.keys()
        assert not missing, f"{file.relative_to(ROOT)} imports {missing}"


def test_imports_are_found_wherever_they_stand() -> None:
    code = (
        "import os, numpy.linalg\ndef f():\n    from skimage.metrics import ssim\nfrom . import x"
    )
    assert imported_packages(code) == {"numpy", "scikit-image"}


def test_python_of_conda_is_in_the_range() -> None:
    python = next(line for line in lines_of(text_of("environment.yml")) if line.name == "python")
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert python.pin.replace("*", "0") in SpecifierSet(project["requires-python"])


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (r"numpy=[\d.]+\*", "numpy=2.1.*", "numpy: 2.1.*, but CI tests"),
        (r"numpy=[\d.]+\*", "numpy=2.*", "numpy: 2.*, but CI tests"),
        (r"numpy=[\d.]+\*", "numpy", "numpy: '' is no version pin"),
        (r"pytorch=[\d.]+\*", "pytorch=2.9.*", "torch: 2.9.* is not in torch"),
        (r"pytorch=[\d.]+\*", "pytorch=3.0.*", "torch: 3.0.* is not in torch"),
        (r"dlib=20", "dlib=18", "dlib-bin: 18.* is not in dlib-bin"),
        (r"^  - papermill.*\n", "", "papermill: not in environment.yml"),
        (r"(- tqdm=\S+).*", r"\1", "tqdm: no reason"),
        (r"(- tqdm=\S+).*", r"\1  # bars", "tqdm: no reason"),
        (r"(- tqdm=\S+.*)", r"\1\n  \1", "tqdm: listed twice"),
        (r"- tqdm=", "- tensorflow=", "tensorflow: not in both"),
        (r"face_recognition_models==0.1.3", "face_recognition_models==0.3.0", "is not in face"),
    ],
)
def test_a_doctored_environment_is_noticed(pattern: str, replacement: str, fault: str) -> None:
    environment = doctored(text_of("environment.yml"), pattern, replacement)
    files = text_of("pyproject.toml"), text_of("constraints.txt")
    assert any(fault in one for one in environment_faults(environment, *files))


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (r"^torch==.*", "torch==2.10.0", "torch: 2.10.0 of constraints.txt is not in"),
        (r"^scikit-image==.*\n", "", "scikit-image: not in constraints.txt"),
    ],
)
def test_doctored_constraints_are_noticed(pattern: str, replacement: str, fault: str) -> None:
    constraints = doctored(text_of("constraints.txt"), pattern, replacement)
    assert any(fault in one for one in constraint_faults(text_of("pyproject.toml"), constraints))
