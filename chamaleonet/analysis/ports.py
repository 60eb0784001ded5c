"""Which application a server port stands for, as data.

The eleven categories of R. Pang et al., "A First Look at Modern Enterprise Traffic", IMC 2005,
with their applications, and what has come up since in the category where it belongs. A port is no
proof: anything may run on any port.
"""

from __future__ import annotations

# category -> protocol -> server ports
CATEGORIES: dict[str, dict[str, tuple[int, ...]]] = {
    "backup": {  # Retrospect, Bacula, Amanda, NetBackup, Backup Exec and NDMP, Connected
        "tcp": (497, 1556, 6101, 6103, 6106, 9101, 9102, 9103, 10000, 10080, 10082, 10083, 13720,
                13724, 13782, 16384),
        "udp": (497, 10080),
    },
    "bulk": {  # FTP, rsync, FTPS, HPSS, GridFTP, BitTorrent
        "tcp": (20, 21, 873, 989, 990, 1217, 2811, *range(6881, 6890)),
        "udp": tuple(range(6881, 6890)),
    },
    "email": {  # SMTP, POP, IMAP, and LDAP as their address book
        "tcp": (25, 110, 143, 389, 465, 587, 636, 993, 995, 2525, 4190),
        "udp": (389,),
    },
    "interactive": {  # SSH, Telnet, rlogin, rsh, RDP, VNC, X11
        "tcp": (22, 23, 513, 514, 992, 2222, 3389, *range(5900, 5910), *range(6000, 6064)),
        "udp": (3389,),
    },
    "name": {  # DNS, over TLS and QUIC too, WINS, NetBIOS names, SLP, mDNS, LLMNR
        "tcp": (42, 53, 137, 427, 853, 5353, 5355),
        "udp": (42, 53, 137, 427, 853, 5353, 5355),
    },
    "net-file": {  # NFS and its port mapper, NCP, AFP, iSCSI, AFS
        "tcp": (111, 524, 548, 2049, 3260, *range(7000, 7010)),
        "udp": (111, 524, 2049, *range(7000, 7010)),
    },
    "net-mgnt": {  # DHCP, ident, NTP, PTP, SNMP, syslog, AAA, BGP, flow export, monitoring agents
        "tcp": (49, 113, 161, 162, 179, 830, 1033, 2055, 3784, 4739, 5666, 6343, 6514, 10050, 10051,
                38293),
        "udp": (67, 68, 69, 123, 161, 162, 319, 320, 514, 546, 547, 1033, 1645, 1646, 1812, 1813,
                2055, 3784, 4739, 6343, 9875, 9995, 9996, 38293),
    },
    "streaming": {  # RTSP, RTMP, MMS, RealMedia, SIP, RTP, STUN and TURN
        "tcp": (554, 1755, 1935, 5060, 5061, 5349, 7070, 8554),
        "udp": (554, 1755, 3478, 3479, 3480, 3481, 5004, 5005, 5060, 5061, 5349, 7070, 8801,
                *range(19302, 19310)),
    },
    "web": {  # HTTP, HTTPS, QUIC, their usual other ports, proxies
        "tcp": (80, 443, 3128, 8000, 8008, 8080, 8081, 8443, 8888),
        "udp": (80, 443, 8443),
    },
    "windows": {  # DCE/RPC, NetBIOS sessions and datagrams, SMB, Kerberos, global catalogue, WinRM
        "tcp": (88, 135, 139, 445, 464, 593, 3268, 3269, 5985, 5986, 9389),
        "udp": (88, 135, 138, 445, 464),
    },
    "misc": {  # printing, databases, message queues, calendars, buildings, chat, VPN
        "tcp": (515, 631, 1194, 1433, 1521, 1723, 1883, 3306, 4222, 5222, 5223, 5228, 5432, 5672,
                5729, 5730, 5731, 6379, 6667, 6697, 8883, 9042, 9092, 9100, 9200, 9300, 9418, 11001,
                11211, 27017),
        "udp": (500, 631, 1194, 1434, 1701, 1900, 3702, 4500, 5351, 11001, 11211, 41641, 47808,
                51820),
    },
}  # fmt: skip

# Ports that are in no category, and protocols without ports.
OTHER = "other"

# Here one datagram asks and one answers, so that more answers than questions mean something: DNS,
# NTP, NetBIOS names, SNMP, mDNS and LLMNR to one host, NAT-PMP.
SINGLE_DATAGRAM = (53, 123, 137, 161, 5351, 5353, 5355)

_CATEGORY = {
    (protocol, port): name
    for name, by_protocol in CATEGORIES.items()
    for protocol, ports in by_protocol.items()
    for port in ports
}


def category(protocol: str, port: int | None) -> str:
    """Return the category of a protocol, as the flow log writes it, and a server port."""
    return _CATEGORY.get((protocol, -1 if port is None else port), OTHER)
