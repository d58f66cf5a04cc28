"""What several tests share: one drawn face, so that no photo of a person is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from expr_lib.sources.synthetic import Rendered


@pytest.fixture(scope="session")
def drawn_face() -> Rendered:
    """Person 3, happy, at 256 px."""
    from expr_lib.sources.synthetic import Person, expression_units, render

    return render(Person(3), expression_units("happy"), size=256)
