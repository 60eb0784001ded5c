"""A campus in a box: scenarios with planted failures, run on a real switch and judged."""
