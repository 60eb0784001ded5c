"""Settings of the one switch of mininet_tests.harness, by pipeline."""

from __future__ import annotations

from mininet_tests.harness import CANDIDATE, CANDIDATE_PORT

PIPELINES = {
    "conntrack": (
        f"pipeline: conntrack, candidates: {{port: {CANDIDATE_PORT}, interface: {CANDIDATE}}}"
    ),
    "reactive": "pipeline: reactive",
}
