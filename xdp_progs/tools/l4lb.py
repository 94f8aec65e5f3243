#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes the map contents of xdp_l4lb from a description of services: VIPs, reals, rings.

    xdp_progs/tools/l4lb.py services.json > l4lb.maps.json
    uxdp run xdp_progs/obj/xdp_l4lb.o --maps l4lb.maps.json --in traffic.pcap

A description is
    {"next_hop": "02:00:00:00:0a:01", "outer_v4": "172.16.0.0", "outer_v6": "100::",
     "services": [
       {"vip": "198.51.100.1", "port": 80, "protocol": "tcp", "flags": ["source_routes"],
        "reals": [{"address": "10.10.0.1"}, {"address": "10.10.0.3", "weight": 2}]},
       {"vip": "198.51.100.1", "protocol": "icmp"}],
     "quic_ids": {"1029": "10.10.0.3"},
     "source_routes": {"203.0.113.0/24": "10.10.0.3"}}

A port that is not given is every port. Reals get numbers from 1 on in the order in which they are first named; a service
gets its place among the services as its number. Adding a real at the end moves few connections: see docs/maps-json.md
for the ring. Flags: no_source_port, no_connections, quic, by_port, source_routes, local.
"""

import ipaddress
import json
import pathlib
import sys

RING_SIZE, MAX_VIPS = 65537, 512
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}
FLAGS = {name: 1 << bit for bit, name in enumerate(["no_source_port", "no_connections", "quic", "by_port", "source_routes", "local"])}


def address(text):
    """An address in the program's 16 bytes."""
    return [f"ip:{text}"] + (["zero:12"] if ipaddress.ip_address(text).version == 4 else [])


class Reals:
    """The numbers of reals, given out as they are named."""

    def __init__(self):
        self.numbers = {}

    def number(self, text):
        return self.numbers.setdefault(str(ipaddress.ip_address(text)), len(self.numbers) + 1)

    def entries(self):
        for text, number in self.numbers.items():
            yield {"key": number, "value": [*address(text), f"u32:{ipaddress.ip_address(text).version}"]}


def contents(said):
    reals, vips, rings = Reals(), [], []
    if len(said["services"]) > MAX_VIPS:
        raise ValueError(f"more than {MAX_VIPS} services")
    for number, service in enumerate(said["services"]):
        family = ipaddress.ip_address(service["vip"]).version
        flags = sum(FLAGS[flag] for flag in service.get("flags", []))
        protocol = PROTOCOLS[service["protocol"]]
        key = [*address(service["vip"]), f"be16:{service.get('port', 0)}", f"u8:{protocol}", f"u8:{family}"]
        vips.append({"key": key, "value": [f"u32:{flags}", f"u32:{number}"]})
        members = [{"value": reals.number(r["address"]), "weight": r.get("weight", 1)} for r in service.get("reals", [])]
        if members:
            rings.append({"key": number * RING_SIZE, "ring": {"size": RING_SIZE, "members": members}})
    quic = [{"key": int(key), "value": reals.number(real)} for key, real in said.get("quic_ids", {}).items()]
    routes = {4: [], 6: []}
    for prefix, real in said.get("source_routes", {}).items():
        network = ipaddress.ip_network(prefix)
        key = [f"u32:{network.prefixlen}", f"ip:{network.network_address}"]
        routes[network.version].append({"key": key, "value": reals.number(real)})
    settings = [f"mac:{said['next_hop']}", "zero:2", f"ip:{said['outer_v4']}", f"ip:{said['outer_v6']}"]
    return {
        "settings": [{"key": 0, "value": settings}],
        "vips": vips,
        "reals": list(reals.entries()),
        "rings": rings,
        "quic_ids": quic,
        "source_routes_v4": routes[4],
        "source_routes_v6": routes[6],
    }


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    said = json.loads(pathlib.Path(sys.argv[1]).read_text())
    json.dump({"about": f"from {sys.argv[1]}", "maps": contents(said)}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
