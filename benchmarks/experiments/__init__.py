"""Experiments: each one command, a table and a figure, the published number beside ours."""
