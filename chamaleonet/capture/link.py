"""Link types: what stands before the network header (https://www.tcpdump.org/linktypes.html)."""

from __future__ import annotations

from enum import IntEnum

from chamaleonet.errors import UserError


class LinkType(IntEnum):
    """The LINKTYPE_ values that the flow engine can read."""

    NULL = 0
    ETHERNET = 1
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


# LINKTYPE_RAW is 101 in files, but libpcap's DLT_RAW has been 12 and 14 on some systems.
_ALIASES = {12: LinkType.RAW, 14: LinkType.RAW}

# Names for the error message only: what people are most likely to have captured.
_UNREAD = {
    6: "IEEE802_5", 9: "PPP", 50: "PPP_HDLC", 51: "PPP_ETHER", 104: "C_HDLC", 105: "IEEE802_11",
    107: "FRELAY", 117: "PFLOG", 119: "IEEE802_11_PRISM", 127: "IEEE802_11_RADIOTAP", 147: "USER0",
    166: "PPP_PPPD", 187: "BLUETOOTH_HCI_H4", 189: "USB_LINUX", 192: "PPI", 195: "IEEE802_15_4",
    220: "USB_LINUX_MMAPPED", 239: "NFLOG", 249: "USBPCAP", 253: "NETLINK",
}  # fmt: skip


def link_type(number: int, source: str) -> LinkType:
    """Return the link type with this number.

    Raises:
        UserError: the engine cannot read it; the message names ``source`` and the type.
    """
    try:
        return _ALIASES.get(number) or LinkType(number)
    except ValueError:
        name = _UNREAD.get(number)
        known = ", ".join(kind.name for kind in LinkType)
        raise UserError(
            f"{source}: link type {number}{f' ({name})' if name else ''} is not supported"
            f" (supported: {known})"
        ) from None
