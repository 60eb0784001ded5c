"""Logs become findings."""

from chamaleonet.analysis.binomial import minimum_dependent

__all__ = ["minimum_dependent"]
