"""Apps to compare the controller with, run in the same manager."""
