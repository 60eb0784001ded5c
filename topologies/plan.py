"""Who has which addresses, in all topologies that have a border; and the Internet beyond it."""

from __future__ import annotations

from topologies import nodes

INTERNAL = ("10.20.0.0/16", "2001:db8:20::/48")
STAFF, STUDENTS, HPC, SERVICES, WIFI, VPN = (
    nodes.Lan(f"10.20.{vlan}", f"2001:db8:20:{vlan}") for vlan in range(10, 70, 10)
)
HOTSPOT = nodes.Lan("192.168.77", "2001:db8:20:77")  # behind the NAT

UPLINK = nodes.Lan("100.64.0", "2001:db8:f0")  # of the border; the provider's number is 1
UPLINK2 = nodes.Lan("100.64.1", "2001:db8:f0:1")
WWW = nodes.Lan("192.0.2", "2001:db8:f1")
FAR = nodes.Lan("198.51.100", "2001:db8:f2")
OUTSIDER = nodes.Lan("203.0.113", "2001:db8:f3")
REMOTE = nodes.Lan("100.64.5", "2001:db8:f4")

# Nobody outside answers for these, nor tells that nobody does.
BOGONS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fec0::/10", "fc00::/7")


def inward(lan: nodes.Lan, border: int) -> tuple[str, ...]:
    """Return the provider's routes to the border with this number, and to all behind it."""
    both = zip(INTERNAL, lan.at(border), strict=True)
    return (*lan.at(border), *(f"{prefix} via {address}" for prefix, address in both))


class Bordered(nodes.Network):
    """A network inside, and an Internet."""

    internal = INTERNAL

    def border(self, name):
        # What is inside and nowhere would go to the Internet, and come back, and go there.
        self.router(name, routes=[f"blackhole {prefix}" for prefix in INTERNAL])

    def lan(self, switch, borders, **hosts):
        """Put hosts inside, each of (network, numbers), and borders, by number, at one switch.

        The first of the borders is the hosts' router.
        """
        for name, (lan, numbers) in hosts.items():
            self.hosts_at(name, lan, numbers, inside=True)
            self.addLink(name, switch)
        lans = [lan for lan, _ in hosts.values()]
        routes = [route for lan, numbers in hosts.values() for route in lan.via(numbers[0])]
        for name, number in borders.items():
            addresses = [address for lan in lans for address in lan.addresses(number)]
            numbers = set(borders.values()) - {number}
            others = [address for lan in lans for n in numbers for address in lan.at(n)]
            self.route(name, switch, addresses, [*routes, *others])

    def uplink(self, border, switch, lan=UPLINK, number=2):
        """Link a border router to its provider's switch."""
        self.route(border, switch, lan.addresses(number), lan.at(1) + lan.default())

    def provider(self, *uplinks):
        """Add isp, with links to (switch, network, routes)."""
        self.router("isp", routes=[f"blackhole {prefix}" for prefix in BOGONS])
        for switch, lan, routes in uplinks:
            self.route("isp", switch, lan.addresses(1), routes)

    def outside(self, name, lan, count, next_hop=None):
        """Add so many hosts on the Internet, behind a link to isp."""
        self.hosts_at(name, lan, range(10, 10 + count), inside=False)
        self.route("isp", next_hop or name, lan.addresses(1), lan.via(10))
