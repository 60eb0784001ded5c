"""Print what ChamaleoNet finds: python consumer.py /run/chamaleonet/verdicts.sock"""

import socket
import struct
import sys
from ipaddress import ip_address

import msgpack

HELLO = {"kind": "hello", "protocol": "chamaleonet-verdicts", "version": 2, "name": "example"}

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    hello = msgpack.packb({**HELLO, "acknowledges": False, "position": None})
    connection.sendall(struct.pack(">I", len(hello)) + hello)
    stream = connection.makefile("rb")
    while len(length := stream.read(4)) == 4:
        message = msgpack.unpackb(stream.read(*struct.unpack(">I", length)))
        if flow := message.get("flow"):
            what = message["kind"], flow["verdict"], flow.get("quality", "sound")
            client, server = ip_address(flow["client"]), ip_address(flow["server"])
            ports = flow["client_port"], flow["server_port"]
            print(*what, client, server, *ports, flush=True)
