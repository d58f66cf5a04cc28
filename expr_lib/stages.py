"""A stage's folder: what it was made from, and whether it is finished."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expr_lib.checkpoints import BEST, CHECKPOINTS
from expr_lib.errors import BrokenCheckpoint, OutputExists
from expr_lib.files import only_one, read_json, write_json

CARD = "stage.json"


def is_finished(folder: Path, inputs: dict[str, Any], replace: bool) -> bool:
    """Whether a stage's folder holds finished work of these inputs; what is replaced is removed.

    raises  OutputExists when it holds work of other inputs and `replace` is off; BrokenCheckpoint
    """
    known = read_stage(folder)
    if known is not None and known["inputs"] == inputs:
        return bool(known["finished"])
    if known is not None and not replace:
        raise OutputExists(
            f"{folder} holds a {folder.name} stage made with other settings "
            f"({differences(known['inputs'], inputs)}); choose another --run, or add "
            "--overwrite to replace it"
        )
    # the card goes last: as long as it is there, the rest is known to be of other inputs
    leftovers = [path for path in folder.glob("*") if path.name not in (".lock", CARD)]
    for path in [*leftovers, folder / CARD]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return False


def read_stage(folder: Path) -> dict[str, Any] | None:
    """A stage's card, `inputs` and `finished`; None when there is none. Raises BrokenCheckpoint."""
    card = folder / CARD
    if not card.is_file():
        return None
    try:
        known = read_json(card)
        return {"inputs": known["inputs"], "finished": known["finished"]}
    except (ValueError, KeyError, TypeError):
        raise BrokenCheckpoint(
            f"{card} is damaged; delete the folder {card.parent} and run the same command again"
        ) from None


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Up to three settings that differ, such as `transfer.batch 8, now 16`."""
    flat_old, flat_new = flat(old), flat(new)
    changed = [
        f"{name} {flat_old.get(name)!r}, now {flat_new.get(name)!r}"
        for name in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(name) != flat_new.get(name)
    ]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(changed[:3]) + more


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings in groups as one level: {"transfer": {"batch": 8}} becomes {"transfer.batch": 8}."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result


@contextmanager
def kept_stage(folder: Path, inputs: dict[str, Any]) -> Iterator[bool]:
    """Hold a folder and say whether it has finished work of these inputs; work of others is
    removed. When the block ends it is finished, and what training kept on the way is gone.

    raises  RunBusy, BrokenCheckpoint, OutputFailed
    """
    with only_one(folder):
        finished = is_finished(folder, inputs, replace=True)
        if not finished:
            write_json(folder / CARD, {"finished": False, "inputs": inputs})
        yield finished
        if not finished:
            write_json(folder / CARD, {"finished": True, "inputs": inputs})
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
            (folder / BEST).unlink(missing_ok=True)
