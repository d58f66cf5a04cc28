"""Facial expression transfer: the expression of one photo on the face of another (Fan et al., IEEE Access 2023)."""

__version__ = "0.1.0"
