"""A result file: what was asked, what came out, and on what machine."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from benchmarks.experiments.experiment import Experiment, Row  # noqa: TC001 (pydantic's)
from chamaleonet.errors import UserError


class Machine(BaseModel):
    """Where it was measured."""

    model_config = ConfigDict(extra="forbid")

    cpu: str
    cores: int
    kernel: str
    python: str
    open_vswitch: str  # "" where there is none


class Result(BaseModel):
    """One experiment's outcome."""

    model_config = ConfigDict(extra="forbid")

    name: str
    experiment: Experiment
    quick: bool
    date: datetime.date
    machine: Machine
    parameters: dict[str, Any]
    rows: list[Row]

    @model_validator(mode="after")
    def _rows_have_all_columns(self) -> Result:
        columns = {column.name for column in self.experiment.columns}
        for number, row in enumerate(self.rows):
            if row.keys() != columns:
                raise ValueError(f"row {number}: has not the columns that are declared")
        if not self.rows:
            raise ValueError("no rows")
        return self

    def matching(self, where: Row) -> Row | None:
        """Return the first row with these cells."""
        return next((row for row in self.rows if where.items() <= row.items()), None)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(self.model_dump_json(indent=1) + "\n")


def read(path: Path) -> Result:
    """Read a result file.

    Raises:
        UserError: it is none.
    """
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {field + ': ' if field else ''}{first['msg']}") from None


def new(name: str, experiment: Experiment, quick: bool, rows: list[Row]) -> Result:
    """Return the result of a run that has just ended on this machine."""
    return Result(
        name=name,
        experiment=experiment,
        quick=quick,
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=this_machine(),
        parameters=experiment.settings(quick),
        rows=rows,
    )


def this_machine() -> Machine:
    """Return what there is to say of this machine."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        open_vswitch=_open_vswitch(),
    )


def _cpu() -> str:
    told = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    return model[1].strip() if model else platform.machine()


def _open_vswitch() -> str:
    if shutil.which("ovs-vsctl") is None:
        return ""
    done = subprocess.run(["ovs-vsctl", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].rsplit(" ", 1)[-1]
