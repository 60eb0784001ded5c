"""Routers and hosts that do not let packets pass, by rules of nftables in their namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chamaleonet.lab.inventory import Inventory
    from chamaleonet.lab.scenario import Fault

# nft(8)
_ACTIONS = {
    "drop": "drop",
    "reject": "reject with icmpx type admin-prohibited",
    "reset": "reject with tcp reset",
}


def begin(number: int, fault: Fault, inventory: Inventory) -> str:
    """Return what nft is told for a fault to begin.

    Args:
        number: of the fault: it has a table of its own, which can go without the others.
        fault: what is to happen.
        inventory: of the hosts that it names.

    Raises:
        UserError: a destination names nothing.
    """
    networks = [network for each in fault.to for network in inventory.networks(each)]
    lines = []
    for family, version in (("ip", 4), ("ip6", 6)):
        to = ", ".join(sorted(str(each) for each in networks if each.version == version))
        if to:
            rule = f"{family} daddr {{ {to} }} {_service(fault)} {_ACTIONS[fault.action]}"
            lines.append(" ".join(rule.split()))
    rules = "\n".join(lines)
    chains = "".join(
        f"chain {hook} {{\ntype filter hook {hook} priority filter;\n{rules}\n}}\n"
        for hook in ("forward", "input")
    )
    return f"table {_table(number)} {{\n{chains}}}\n"


def _service(fault: Fault) -> str:
    if fault.service is None:
        return "meta l4proto tcp" if fault.action == "reset" else ""
    protocol, _, port = fault.service.partition("/")
    return f"{protocol} dport {port}" if port else f"meta l4proto {protocol}"


def end(number: int) -> str:
    """Return what nft is told for a fault to end."""
    return f"delete table {_table(number)}\n"


def _table(number: int) -> str:
    return f"inet chamaleonet_lab_{number}"
