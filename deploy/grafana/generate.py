"""Write the dashboards that panels.py describes as Grafana's JSON.

    python deploy/grafana/generate.py [--check]

With --check nothing is written; the exit status is 1 if something is not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panels import DASHBOARDS, Panel

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH = 24  # units of the page
_HEIGHTS = {"stat": 4, "timeseries": 8}


def dashboard(name: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    """Return a dashboard by Grafana's schema."""
    return {
        "uid": f"chamaleonet-{name}",
        "title": f"ChamaleoNet: {title}",
        "tags": ["chamaleonet"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "type": "dashboards", "tags": ["chamaleonet"], "title": "ChamaleoNet",
                "asDropdown": True, "keepTime": True, "includeVars": True,
            }
        ],
        "templating": {"list": [_SOURCE_VARIABLE, _INSTANCE_VARIABLE]},
        "panels": list(_placed(panels)),
    }  # fmt: skip


_SOURCE_VARIABLE = {
    "name": "source", "label": "Data source", "type": "datasource", "query": "prometheus",
}  # fmt: skip
_INSTANCE_VARIABLE = {
    "name": "instance",
    "label": "Process",
    "type": "query",
    "datasource": SOURCE,
    "query": {"qryType": 1, "query": "label_values(chamaleonet_build_info, instance)"},
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": ["All"], "value": ["$__all"]},
}


def _placed(panels: list[Panel]) -> Iterator[dict[str, Any]]:
    """Yield panels in rows from left to right, each row as high as its first panel."""
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + height
        height = _HEIGHTS[panel.kind] if x == 0 else height
        yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": height})
        x += panel.width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(65 + at), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for at, (legend, expr) in enumerate(panel.queries.items())
        ],
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    """Write, or with --check compare, all dashboards."""
    stale = 0
    for name, (title, panels) in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(dashboard(name, title, panels), indent=1) + "\n"
        if not path.exists() or path.read_text() != text:
            stale += 1
            print(f"{path}: {'not up to date' if '--check' in arguments else 'written'}")
            if "--check" not in arguments:
                path.write_text(text)
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
