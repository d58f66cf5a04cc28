"""Keep what two people look like, for the test that they look so on every machine.

python tests/keep_drawn.py     after a change of the renderer that means to change the pictures
"""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from expr_lib.sources.synthetic import Person, Rendered, expression_units, render

KEPT = Path(__file__).with_name("drawn")
SHOWN = {7: ("happy", 20.0), 101: ("angry", -45.0)}
"""Person -> expression and yaw."""


def draw(seed: int) -> tuple[dict[str, Any], Rendered]:
    """Give who a person is, numbers to nine digits, and the photo."""
    person, (word, yaw) = Person(seed), SHOWN[seed]
    names = ("male", "years", "races", "tone", "weight", "makeup", "beard_kind")
    who = {name: getattr(person, name) for name in names}
    who["glasses"] = person.clothes.glasses is not None
    who["hair"] = person.hair.colour_name
    photo = render(person, expression_units(word), size=128, yaw=yaw)
    return json.loads(json.dumps(who), parse_float=lambda text: round(float(text), 9)), photo


def main() -> None:
    """Write a JSON and a PNG for each."""
    KEPT.mkdir(exist_ok=True)
    for seed in SHOWN:
        who, photo = draw(seed)
        text = json.dumps(who, indent=2)
        points = json.dumps(photo.landmarks.astype(float).round(4).tolist())
        (KEPT / f"{seed}.json").write_text(f'{{"who": {text},\n"landmarks": {points}}}\n')
        Image.fromarray(photo.image).save(KEPT / f"{seed}.png")


if __name__ == "__main__":
    main()
