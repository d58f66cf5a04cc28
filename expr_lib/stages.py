"""A stage's folder: what it was made from, and whether it is finished."""

import shutil
from pathlib import Path
from typing import Any

from expr_lib.errors import BrokenCheckpoint, OutputExists
from expr_lib.files import read_json


def is_finished(folder: Path, inputs: dict[str, Any], replace: bool) -> bool:
    """Whether a stage's folder holds finished work of these inputs; what is replaced is removed.

    raises  OutputExists when it holds work of other inputs and `replace` is off; BrokenCheckpoint
    """
    known = _read_stage(folder / "stage.json")
    if known is None:
        return False
    if known["inputs"] == inputs:
        return bool(known["finished"])
    if not replace:
        raise OutputExists(
            f"{folder} holds a {folder.name} stage made with other settings "
            f"({_differences(known['inputs'], inputs)}); choose another --run, or add "
            "--overwrite to replace it"
        )
    for path in folder.iterdir():
        if path.name != ".lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return False


def _read_stage(card: Path) -> dict[str, Any] | None:
    if not card.is_file():
        return None
    try:
        known = read_json(card)
        return {"inputs": known["inputs"], "finished": known["finished"]}
    except (ValueError, KeyError, TypeError):
        raise BrokenCheckpoint(
            f"{card} is damaged; delete the folder {card.parent} and run the same command again"
        ) from None


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Up to three settings that differ, such as `transfer.batch 8, now 16`."""
    flat_old, flat_new = _flat(old), _flat(new)
    changed = [
        f"{name} {flat_old.get(name)!r}, now {flat_new.get(name)!r}"
        for name in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(name) != flat_new.get(name)
    ]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(changed[:3]) + more


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
