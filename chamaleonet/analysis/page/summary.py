"""What the page says first: which hosts to mend, why, and how much of the failures that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chamaleonet.analysis import schema
from chamaleonet.analysis.page import grids, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Finding = Mapping[str, Any]

MOST_FINDINGS = 100  # on the page

TITLES = {
    "stale_server": "Server that is gone, polled for ever",
    "dns_dead_resolver": "DNS resolver that never answers",
    "ntp_dead_peer": "NTP server that never answers",
    "listed_contact": "Contact with a listed address",
    "port_unreachable_reflection": "Many hosts send port unreachable to one address",
    "dns_accelerator": "DNS answers that come too late",
    "internal_scanner": "Scanner or worm inside",
    "parallel_ports": "Several ports tried at once, one refused",
    "outage": "Outage of a route, firewall or service",
    "misaddressed_monitoring": "Monitoring of what is not there",
    "slow_server": "Server that answers too late",
    "server_outage": "Server that was down for a while",
}


def of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template needs for the head of the page and for the findings."""
    about, findings = report["about"], report["findings"]
    columns = about["evidence"]
    shown = findings[:MOST_FINDINGS]
    suppressed = report["suppressed"]["findings"]
    return {
        "about": about,
        "source": words.text(about["source"]),
        "span": _span(about),
        "lead": _lead(report),
        "tiles": _tiles(report),
        "machines": [_machine(machine, shown) for machine in report["machines"]],
        "findings": [_finding(each, columns) for each in shown],
        "more_findings": len(findings) - len(shown),
        "suppressed": [
            _finding(each, columns) | {"suppression": _suppression(each["suppression"])}
            for each in suppressed
        ],
        "suppressed_summary": _suppressed(report["suppressed"]),
        "expired": [_suppression(each) for each in report["suppressed"]["expired"]],
        "facts": _facts(about),
    }


def _span(about: Mapping[str, Any]) -> str:
    if about["begin"] is None:
        return "an empty log"
    return f"{words.time(about['begin'])} to {words.time(about['end'])} UTC"


def _lead(report: Mapping[str, Any]) -> str:
    suspect = report["about"]["suspect"]
    return _explained(report) + (
        f" Left out are {words.count(suspect)} flows whose verdict is suspect: replies were out of"
        " sight when it was come to."
        if suspect
        else ""
    )


def _explained(report: Mapping[str, Any]) -> str:
    erroneous, findings = report["about"]["erroneous"], report["findings"]
    if not erroneous and not findings:
        return "The log has no erroneous flow."
    if not findings:
        return f"No rule found a cause of the {words.count(erroneous)} erroneous flows."
    causes = "One cause explains" if len(findings) == 1 else f"{len(findings)} causes explain"
    return (
        f"{causes} {words.value(report['explained'], 'share')} of the"
        f" {words.count(erroneous)} erroneous flows."
    )


def _tiles(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    about = report["about"]
    flows, erroneous = about["flows"], about["erroneous"]
    of_all = "" if not flows else f"{words.share(erroneous / flows)} of all flows"
    hosts = {host for finding in report["findings"] for host in finding["hosts"]}
    suppressed = report["suppressed"]["share"]
    return [
        (
            "Flows",
            words.value(flows),
            f"{words.count(about['logged'])} of them logged"
            if flows is not None
            else f"healthy ones were not counted; {words.count(about['logged'])} are logged",
        ),
        ("Erroneous flows", words.count(erroneous), of_all),
        (
            "Explained by findings",
            words.value(report["explained"], "share"),
            f"{words.share(suppressed)} suppressed" if suppressed else "of the erroneous flows",
        ),
        ("Hosts in findings", words.count(len(hosts)), ""),
    ]


def _finding(finding: Finding, columns: Mapping[str, Any]) -> dict[str, Any]:
    evidence = finding["evidence"]
    return {
        "title": TITLES.get(finding["kind"], words.name(finding["kind"])),
        "flows": words.count(finding["flows"]),
        "share": "" if finding["share"] is None else words.share(finding["share"]),
        "confidence": f"{finding['confidence']:.0%}",
        "cause": words.text(finding["cause"]),
        "fix": words.text(finding["fix"]),
        "hosts": [words.text(host) for host in finding["hosts"]],
        "evidence": grids.grid("Evidence", evidence, schema.EVIDENCE, columns)
        if evidence
        else None,
        "suppression": "",
    }


def _machine(machine: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a host with links to the findings that name it."""
    why = []
    for kind in machine["kinds"]:
        number = next(
            (
                number
                for number, finding in enumerate(findings, 1)
                if finding["kind"] == kind and machine["host"] in finding["hosts"]
            ),
            None,
        )
        anchor = "findings" if number is None else f"finding-{number}"
        why.append((anchor, TITLES.get(kind, words.name(kind))))
    return {
        "host": words.text(machine["host"]),
        "flows": words.count(machine["flows"]),
        "key": machine["flows"],
        "share": words.value(machine["share"], "share"),
        "share_key": "" if machine["share"] is None else machine["share"],
        "why": why,
    }


def _suppressed(suppressed: Mapping[str, Any]) -> str:
    number = len(suppressed["findings"])
    what = "1 suppressed finding" if number == 1 else f"{number} suppressed findings"
    part = suppressed["share"]
    return what if part is None else f"{what}, {words.share(part)} of the erroneous flows"


def _suppression(suppression: Mapping[str, Any]) -> str:
    """Return a suppression in words: what it covers, until when and why."""
    covers = ", ".join(
        f"{name} {suppression[name]}"
        for name in ("kind", "host", "client", "server", "port")
        if suppression[name] is not None
    )
    return words.text(f"{covers}; until {suppression['until']}: {suppression['reason']}")


def _facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    asked = [about[name] for name in ("since", "until")]
    period = " to ".join("any time" if time is None else words.time(time) for time in asked)
    begin, end = about["working_hours"]
    return [
        ("made by", f"ChamaleoNet {about['version']}"),
        ("made at", f"{words.time(about['generated'])} UTC"),
        ("log", words.text(about["source"])),
        ("engine", about["engine"]),
        ("asked for", period),
        ("timeout of the log", words.seconds(about["timeout"])),
        ("time zone of hours of the week", words.text(about["timezone"])),
        ("working hours", f"{begin}:00 to {end}:00"),
        ("flows whose verdict is suspect", f"{words.count(about['suspect'])}, left out"),
        ("flows begun by scanners", "left out" if about["without_scanners"] else "included"),
        ("internal-only prefixes", words.value(about["internal_only"])),
        ("listed addresses and networks", words.count(about["indicators"])),
    ]
