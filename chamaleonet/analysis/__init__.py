"""Logs become findings."""
