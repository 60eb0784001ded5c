"""The demonstration: a small campus on a real switch, watched by the real programs."""
