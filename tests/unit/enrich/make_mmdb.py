#!/usr/bin/env python3
"""Writes a small MaxMind database of invented places: make_mmdb.py OUTPUT

Source: MaxMind DB File Format Specification 2.0. Records of 24 bits, an IPv6 tree with IPv4 in ::/96.
"""
import ipaddress
import pathlib
import struct
import sys

PLACES = {
    "203.0.113.0/24": {"country": {"iso_code": "JP"}, "subdivisions": [{"iso_code": "13"}], "city": {"names": {"en": "Shibuya"}}},
    "198.51.100.0/25": {"country": {"iso_code": "US"}},
    "198.51.100.128/25": {"country": "a text where a map belongs"},
    "2001:db8::/32": {"country": {"iso_code": "DE"}, "city": {"names": {"en": "x" * 200}}},
}


def control(kind, size):
    """Control byte or bytes of a value; kinds over 7 have a second byte."""
    head, tail = (size, b"") if size < 29 else (29, bytes([size - 29]))
    assert size < 29 + 256
    return bytes([kind << 5 | head]) + tail if kind < 8 else bytes([head, kind - 7]) + tail


def encode(value):
    if isinstance(value, str):
        return control(2, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(map(encode, value))
    kind, number = value  # an unsigned integer with its kind: 5 uint16, 6 uint32, 9 uint64
    body = number.to_bytes(8, "big").lstrip(b"\0")
    return control(kind, len(body)) + body


nodes = [[None, None]]
data = b""
for text, place in PLACES.items():
    network = ipaddress.ip_network(text)
    prefix = network.prefixlen + (96 if network.version == 4 else 0)
    bits = f"{int(network.network_address):0128b}"[:prefix]
    node = 0
    for bit in bits[:-1]:
        if nodes[node][int(bit)] is None:
            nodes.append([None, None])
            nodes[node][int(bit)] = len(nodes) - 1
        node = nodes[node][int(bit)]
    nodes[node][int(bits[-1])] = ("data", len(data))
    data += encode(place)


def record(value):
    if value is None:
        return len(nodes)
    return len(nodes) + 16 + value[1] if isinstance(value, tuple) else value


tree = b"".join(struct.pack(">I", record(value))[1:] for node in nodes for value in node)
metadata = encode({
    "node_count": (6, len(nodes)), "record_size": (5, 24), "ip_version": (5, 6), "database_type": "Test-City",
    "languages": ["en"], "binary_format_major_version": (5, 2), "binary_format_minor_version": (5, 0),
    "build_epoch": (9, 1795000000), "description": {"en": "invented"}})
pathlib.Path(sys.argv[1]).write_bytes(tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + metadata)
