"""Facial expression transfer (Fan et al., IEEE Access 2023): whose face, whose expression."""

__version__ = "0.1.0"
