"""Drawn faces: people and expressions from a seed, with landmarks true by construction."""

from expr_lib.sources.synthetic.dataset import synthesize
from expr_lib.sources.synthetic.layout import load_synthetic
from expr_lib.sources.synthetic.person import Light, Person
from expr_lib.sources.synthetic.render import Rendered, render
from expr_lib.sources.synthetic.units import EXPRESSION_UNITS, expression_units

__all__ = [
    "EXPRESSION_UNITS",
    "Light",
    "Person",
    "Rendered",
    "expression_units",
    "load_synthetic",
    "render",
    "synthesize",
]
