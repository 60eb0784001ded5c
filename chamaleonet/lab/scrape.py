"""What the metrics of the controller and the logger say."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Metrics = dict[str, list[tuple[dict[str, str], float]]]


def scrape(port: int) -> str:
    """Return what is exported at a TCP port of 127.0.0.1.

    Raises:
        OSError: nobody answers.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text: str = response.read().decode()
    return text


def parsed(text: str) -> Metrics:
    """Return samples with their labels, by name without our prefix."""
    metrics: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("chamaleonet_")
            metrics.setdefault(name, []).append((sample.labels, sample.value))
    return metrics


def total(metrics: Metrics, name: str, **labels: str) -> int:
    """Return the sum of a metric's samples that have these labels."""
    return int(sum(value for own, value in metrics.get(name, []) if labels.items() <= own.items()))


def quantile(metrics: Metrics, name: str, share: float) -> float | None:
    """Return a quantile of a histogram; None if it is empty."""
    buckets = [(float(own["le"]), value) for own, value in metrics.get(f"{name}_bucket", [])]
    return of_buckets(sorted(buckets), share)


def of_buckets(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Return a quantile of a cumulative histogram, as PromQL's histogram_quantile does.

    Between two buckets' bounds it is interpolated, so it is as exact as the buckets are narrow.

    Args:
        buckets: upper bound and how many are at most that, in order, infinity last.
        share: 0 to 1.

    Returns:
        The quantile in the bounds' unit; None if nothing was counted.
    """
    wanted = share * buckets[-1][1] if buckets else 0.0
    if not wanted:
        return None
    below, count_below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (wanted - count_below) / (count - count_below)
        below, count_below = bound, count
    return None
