"""ChamaleoNet: makes the switch find erroneous traffic, and turns it into findings."""

__version__ = "0.1.0"
