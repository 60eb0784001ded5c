"""Which experiments there are: the modules of the catalogue, by their names."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from benchmarks.experiments import catalogue
from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType


def names() -> list[str]:
    """Return the names of all experiments, in order."""
    modules = pkgutil.iter_modules(catalogue.__path__)
    return sorted(module.name.replace("_", "-") for module in modules)


def load(name: str) -> ModuleType:
    """Return an experiment's module.

    Raises:
        UserError: there is no such experiment.
    """
    if name not in names():
        raise UserError(f"no experiment {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{catalogue.__name__}.{name.replace('-', '_')}")
