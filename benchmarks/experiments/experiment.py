"""What an experiment is: its question, its columns, what others published."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

Cell = str | int | float | bool | None
Row = dict[str, Cell]  # by names of columns; None: not known, or makes no sense here

PAPER = "Wang et al., ChamaleoNet, 2025, https://arxiv.org/abs/2508.12496"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """A column of the table.

    Attributes:
        name: its key in rows.
        title: its heading.
        unit: of its numbers: "share" is a part of one, and is shown as a percentage; "" is none.
    """

    name: str
    title: str
    unit: str = ""

    @property
    def heading(self) -> str:
        """Title and unit."""
        return self.title if self.unit in ("", "share") else f"{self.title}, {self.unit}"


class Published(_Strict):
    """A number that others published.

    Attributes:
        what: it tells.
        value: in the unit of ``column``, or as text where it compares with none.
        source: where it stands, to the section or the file.
        column: which of ours it compares with; "": with none.
        where: the row that compares, by some of its cells. A cell that is not named is any.
        x: where it stands on the figure's x axis; None: that was not published, it is a level.
    """

    what: str
    value: float | str
    source: str
    column: str = ""
    where: Row = {}
    x: float | None = None


class Chart(_Strict):
    """The figure: one line, or one group of bars, per value of ``series``.

    Attributes:
        x: a column; of text where kind is bar. A row without it is drawn as a level.
        y: a column of numbers, or several. Published numbers of these are drawn as well.
        series: the columns that tell lines apart.
        log: the axes that are logarithmic.
    """

    kind: Literal["line", "steps", "bar"]
    x: str
    y: str | tuple[str, ...]
    series: tuple[str, ...] = ()
    log: Literal["", "x", "y", "xy"] = ""

    @property
    def ys(self) -> tuple[str, ...]:
        """The columns of y."""
        return (self.y,) if isinstance(self.y, str) else self.y


class Experiment(_Strict):
    """All that is known of an experiment before it runs. Texts are Markdown.

    Attributes:
        title: a few words.
        question: one sentence.
        method: how it is measured.
        explains: what explains a difference to what was published, and what the numbers do not say.
        tabled: where there are too many rows for a page, those that are shown: cells by column.
        needs_root: it runs on a switch.
        parameters: of a full run, by name; a seed among them where anything is drawn.
        quick: those that differ in a quick run.
    """

    title: str
    question: str
    method: str
    explains: str
    columns: tuple[Column, ...]
    chart: Chart
    published: tuple[Published, ...] = ()
    tabled: dict[str, tuple[Cell, ...]] = {}
    needs_root: bool = False
    parameters: dict[str, Any] = {}
    quick: dict[str, Any] = {}

    def settings(self, quick: bool) -> dict[str, Any]:
        """Return the parameters of a run."""
        return self.parameters | (self.quick if quick else {})

    def column(self, name: str) -> Column:
        """Return a column by its name.

        Raises:
            KeyError: there is none.
        """
        return {column.name: column for column in self.columns}[name]

    @model_validator(mode="after")
    def _names_are_known(self) -> Experiment:
        chart = self.chart
        names = {chart.x, *chart.ys, *chart.series, *self.tabled}
        for each in self.published:
            names |= {*each.where, *([each.column] if each.column else [])}
        unknown = names - {column.name for column in self.columns}
        if unknown:
            raise ValueError(f"no such column: {', '.join(sorted(unknown))}")
        if self.quick.keys() - self.parameters.keys():
            raise ValueError("quick: a parameter that a full run has not")
        return self
