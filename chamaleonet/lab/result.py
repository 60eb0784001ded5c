"""What a run came to: ``result.json``, its schema, and as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, computed_field
from rich.table import Table

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


class Part(BaseModel):
    """What all parts of a result have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Part):
    """A number that only races can change."""

    least: int = Field(description="What had to be, whatever races there were.")
    most: int = Field(description="What could be.")


class Delay(Part):
    """From verdicts to the redirect rules of their flows, in seconds; null where there is none."""

    count: int = Field(description="Flows that got a rule of their own after their verdict.")
    p50: float | None = Field(description="Half of these got it within.")
    p99: float | None = Field(description="99 of 100 did.")
    max: float | None = Field(description="The slowest.")
    shared: int = Field(
        description="Flows whose rule was there already, for another flow that it matches too."
    )
    aggregated: int = Field(description="Flows that a rule for many stood for.")
    none: int = Field(description="Flows without a rule.")


class FlowRow(Part):
    """One flow with which something is wrong, or that only one side has."""

    first: float = Field(description="Time of its first packet, seconds since the trace's begin.")
    protocol: str = Field(description="As in the flow log.")
    client: str = Field(description="As in the flow log.")
    client_port: int | None = Field(description="As in the flow log.")
    server: str = Field(description="As in the flow log.")
    server_port: int | None = Field(description="As in the flow log.")
    true: str | None = Field(description="The true verdict; null: the trace has no such flow.")
    live: str | None = Field(
        description="The live one; null: the flow log has no such flow, as of healthy ones."
    )
    quality: str | None = Field(description="How far the live verdict could be relied on.")
    captured: int = Field(description="Packets of it that the logger wrote.")
    wanted: int = Field(description="Packets that it had to write.")
    known: str = Field(default="", description="Why live cannot do better, where that is known.")


class PlantResult(Part):
    """What became of one plant."""

    name: str = Field(description="The plant's name.")
    least: int = Field(description="So many flows had to fail.")
    verdicts: list[str] = Field(description="The verdicts that they had to get.")
    expected_flows: int = Field(description="Its flows that failed, by the trace.")
    judged_right: int = Field(
        description="Those of which the live verdict is the true one, is one of the plant's, and"
        " could be relied on."
    )
    true_verdicts: dict[str, int] = Field(description="All its flows, by the true verdict.")
    live_verdicts: dict[str, int] = Field(
        description="Its failing flows, by the live verdict; `none`: not in the flow log."
    )
    captured: int = Field(description="Packets of its failing flows that the logger wrote.")
    captured_expected: Span = Field(description="Packets of these that it had to write.")
    captured_missing: int = Field(
        description="What flows lack of their least; too many packets of another flow do not count"
        " against it."
    )
    false_captures: int = Field(
        description="Packets, ICMP errors apart, that were written of flows of its clients or"
        " servers that did not fail."
    )
    finding_named: bool = Field(description="Whether the report names it as it should.")
    named_by: list[str] = Field(description="What did, of the findings and tables that could.")
    delay: Delay = Field(description="From verdict to redirect rule.")
    missed: list[FlowRow] = Field(description="Some flows that went wrong.")
    problems: list[str] = Field(description="What is not as it must be.")


class Healthy(Part):
    """Flows that are no failures."""

    flows: int = Field(description="How many, by the trace.")
    captured: int = Field(
        description="Packets, ICMP errors apart, that were written of them, or of no flow at all."
    )
    rows: list[FlowRow] = Field(description="Some flows of which packets were written.")


class Differences(Part):
    """Flows whose live verdict is another one than the true one; races do not count."""

    flows: int = Field(description="How many, of all.")
    known: int = Field(description="Those of which docs/live.md says why.")
    rows: list[FlowRow] = Field(description="Some of them.")


class Packets(Part):
    """Packets by where they came; null where nobody told."""

    border: int = Field(description="That crossed the border, by the trace; not IP ones too.")
    ip: int = Field(description="Of these, IP packets.")
    controller: int | None = Field(description="That the switches sent to be judged.")
    logger: int | None = Field(description="That came in by the logger port.")
    written: int = Field(description="That the logger wrote.")
    icmp_errors: int = Field(description="ICMP errors that crossed the border.")
    icmp_errors_written: int = Field(description="ICMP errors that the logger wrote.")


class Unexpected(Part):
    """A finding that is about no plant."""

    kind: str = Field(description="The finding's kind.")
    hosts: list[str] = Field(description="The hosts that it names.")
    cause: str = Field(description="What it says.")


class Replayed(Part):
    """What became of captures that were replayed."""

    packets: int = Field(description="In the captures.")
    left_out: dict[str, int] = Field(description="Of these, packets that were not sent, by cause.")
    sent: int = Field(description="Packets that were sent.")
    late: float = Field(
        description="Seconds that a packet was planned later than in the captures, at most."
    )
    behind: float = Field(description="Seconds that a packet was sent later than planned, at most.")
    one_way: list[str] = Field(
        description="Directions in which nobody is answered in the captures: verdicts are suspect."
    )
    original: dict[str, int] = Field(
        description="Flows of the captures, by the verdict offline; who waits at the end is waited"
        " for."
    )
    mapped: dict[str, int] = Field(description="Likewise of what was planned to be sent.")
    crossing: int = Field(description="Flows of that between inside and outside.")
    altered: int = Field(
        description="Of these, flows whose verdict at the border is another one; races do not"
        " count."
    )
    altered_rows: list[str] = Field(description="Some of them.")
    expected_flows: int = Field(description="Flows that failed, by the trace.")
    judged_right: int = Field(
        description="Of these, those whose live verdict is the true one, and could be relied on."
    )
    live: dict[str, int] = Field(
        description="Failing flows by the live verdict; `none`: not in the flow log."
    )
    captured: int = Field(description="Packets of failing flows that the logger wrote.")
    captured_expected: Span = Field(description="Packets of these that it had to write.")
    captured_missing: int = Field(
        description="What flows lack of their least, but for those of which docs/live.md says why;"
        " too many packets of another flow do not count against it."
    )
    problems: list[str] = Field(description="What is not as it must be.")


class Result(Part):
    """What a run of a scenario came to."""

    name: str = Field(description="The scenario's name.")
    title: str = Field(description="What it is about.")
    topology: str = Field(description="Where it ran.")
    pipeline: str = Field(description="How the switches found candidates.")
    seed: int = Field(description="What was drawn was drawn by it.")
    seconds: int = Field(description="How long traffic went on.")
    traced: float = Field(description="Seconds from the trace's first packet to its last.")
    timeout: float = Field(description="Seconds until a flow is unanswered.")
    versions: dict[str, str] = Field(description="Of programs that took part.")
    verdicts: dict[str, int] = Field(description="All flows, by the true verdict.")
    packets: Packets = Field(description="How many packets came where.")
    plants: list[PlantResult] = Field(description="What was planted.")
    replay: Replayed | None = Field(
        description="What became of the captures; null where none were replayed."
    )
    healthy: Healthy = Field(description="What must be left alone.")
    differences: Differences = Field(description="Where live and offline differ.")
    unexpected_findings: list[Unexpected] = Field(description="Findings that name no plant.")
    problems: list[str] = Field(description="What is not as it must be, beside the plants.")

    @computed_field(description="Whether everything is as it must be.")  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether neither the run nor a part of it has a problem."""
        of_replay = self.replay.problems if self.replay else []
        return not (self.problems or of_replay or any(plant.problems for plant in self.plants))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a result."""
    schema = Result.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write(result: Result, path: Path) -> None:
    """Write a result as JSON.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def show(result: Result, console: Console) -> None:
    """Print a result for people."""
    table = Table(title=f"{result.title} (seed {result.seed})", title_justify="left")
    table.add_column("plant, named by", no_wrap=True)
    for heading in ("failed", "right", "captured", "false", "rule"):
        table.add_column(heading, justify="right")
    for plant in result.plants:
        delay = plant.delay.p50
        table.add_row(
            f"{plant.name}\n  {', '.join(plant.named_by) or 'nothing'}",
            str(plant.expected_flows),
            str(plant.judged_right),
            f"{plant.captured}/{plant.captured_expected.least}",
            str(plant.false_captures),
            "-" if delay is None else f"{delay * 1000:.0f} ms",
            style="red" if plant.problems else None,
        )
    if result.plants:
        console.print(table)
    console.print(
        f"{sum(result.verdicts.values())} flows, {result.healthy.flows} of them healthy;"
        f" {result.differences.flows} judged otherwise than offline"
    )
    if result.replay:
        _show_replay(result.replay, result.verdicts, console)
    packets = result.packets
    console.print(
        f"{packets.border} packets at the border, {_count(packets.controller)} to the controller,"
        f" {_count(packets.logger)} to the logger, {packets.written} written"
    )
    for plant in result.plants:
        for problem in plant.problems:
            console.print(f"{plant.name}: {problem}", style="red", markup=False, soft_wrap=True)
    if result.replay:
        for problem in result.replay.problems:
            console.print(f"replay: {problem}", style="red", markup=False, soft_wrap=True)
    for problem in result.problems:
        console.print(problem, style="red", markup=False, soft_wrap=True)
    console.print("as it must be" if result.ok else "not as it must be")


def _show_replay(replay: Replayed, border: dict[str, int], console: Console) -> None:
    table = Table(title="flows by verdict", title_justify="left")
    table.add_column("verdict")
    columns = {
        "captures": replay.original,
        "planned": replay.mapped,
        "at the border": border,
        "failing, live": replay.live,
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    for verdict in dict.fromkeys(name for counts in columns.values() for name in counts):
        table.add_row(verdict, *(str(counts.get(verdict, 0)) for counts in columns.values()))
    console.print(table)
    console.print(
        f"{replay.judged_right} of {replay.expected_flows} failing flows judged right;"
        f" {replay.captured} packets captured of them, at least {replay.captured_expected.least}"
        " were to be"
    )


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
