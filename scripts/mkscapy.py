#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes xdp_progs/pcap/scapy.pcap: packets whose headers are scapy's work, not this project's.

    scripts/mkscapy.py [FILE]

Needs scapy (Debian: python3-scapy). Seeded, so that the same scapy writes the same packets; the file is committed, and nothing
else needs scapy. Protocols that the project's own generator does not know are among them: DNS, DHCP, NTP, VXLAN, GRE, MPLS,
PPPoE, SCTP, IGMP, spanning tree, LLC; and headers with random fields.
"""

import pathlib
import random
import sys

from scapy.all import (  # pylint: disable=no-name-in-module
    ARP, BOOTP, DHCP, DNS, DNSQR, GRE, ICMP, IP, LLC, NTP, PPPoE, PPP, SCTP, STP, TCP, UDP, VXLAN, Dot1AD, Dot1Q, Dot3, Ether,
    ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig, IPOption_RR, IPOption_Timestamp, IPv6, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Padding, Raw, fragment, fuzz, wrpcap,
)
from scapy.contrib.igmp import IGMP
from scapy.contrib.mpls import MPLS

SEED, EACH = 20240229, 4
ETH = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
TO, TO6 = "198.51.100.1", "2001:db8::2"


def client():
    return random.choice(["192.0.2.1", "192.0.2.3", "203.0.113.5", "10.1.2.3", "10.2.0.1", f"192.0.2.{random.randrange(256)}"])


def port():
    return random.choice([80, 443, 53, 8080, random.randrange(1, 65536)])


def text(most=200):
    return Raw(random.randbytes(random.randrange(most)))


def whole():
    """One of each kind."""
    v4, v6 = IP(src=client(), dst=TO, ttl=random.choice([1, 2, 64, 255])), IPv6(src="2001:db8::1", dst=TO6)
    tcp = TCP(sport=port(), dport=port(), flags=random.choice(["S", "SA", "A", "PA", "FA", "R", "SF", ""]))
    yield ETH / v4 / tcp / text()
    yield ETH / v4 / TCP(dport=80, flags="S", options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)])
    yield ETH / v4 / TCP(dport=80, flags="PA") / Raw(b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n")
    yield ETH / v4 / UDP(sport=port(), dport=port()) / text()
    yield ETH / v4 / UDP(dport=53) / DNS(rd=1, id=7, qd=DNSQR(qname="example.org"))
    yield ETH / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(xid=9) / DHCP(options=[("message-type", "discover"), "end"])
    yield ETH / v4 / UDP(sport=123, dport=123) / NTP(orig=0, sent=0, ref=0, recv=0)
    yield ETH / v4 / ICMP(type=8, id=1, seq=2) / text(1200)
    yield ETH / v4 / ICMP(type=3, code=4, nexthopmtu=1400) / IP(src=TO, dst="192.0.2.4") / TCP(sport=80, dport=5004)
    yield ETH / v4 / ICMP(type=11) / IP(src="192.0.2.4", dst=TO) / UDP(sport=5, dport=6)
    yield ETH / v4 / UDP(dport=4789) / VXLAN(vni=42) / Ether(src="02:00:00:00:00:05", dst="02:00:00:00:00:06") / IP() / TCP()
    yield ETH / v4 / GRE() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP()
    yield ETH / v4 / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=80)
    yield ETH / v4 / SCTP(sport=1, dport=2) / text(40)
    yield ETH / IP(src=client(), dst="224.0.0.22", ttl=1, options=[]) / IGMP(type=0x16, gaddr="239.1.2.3")
    yield ETH / IP(src=client(), dst=TO, options=[IPOption_RR(routers=["192.0.2.9", "192.0.2.10"])]) / UDP(dport=80)
    yield ETH / IP(src=client(), dst=TO, options=[IPOption_Timestamp()]) / TCP(dport=80)
    yield ETH / Dot1Q(vlan=10, prio=5) / v4 / TCP(dport=80)
    yield ETH / Dot1AD(vlan=100) / Dot1Q(vlan=10) / v4 / UDP(dport=53) / text(20)
    yield ETH / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / v4 / UDP()
    yield ETH / MPLS(label=16, s=1) / v4 / TCP()
    yield ETH / PPPoE(sessionid=7) / PPP() / v4 / UDP()
    yield ETH / ARP(op=random.choice([1, 2]), psrc=client(), pdst=TO) / Padding(bytes(18))
    yield Dot3(src="02:00:00:00:00:02", dst="01:80:c2:00:00:00") / LLC() / STP()
    yield ETH / v6 / TCP(dport=80, flags="S") / text(30)
    yield ETH / v6 / UDP(dport=53) / DNS(id=8, qd=DNSQR(qname="example.org", qtype="AAAA"))
    yield ETH / v6 / ICMPv6EchoRequest(id=1, seq=2, data=b"echo")
    yield ETH / v6 / ICMPv6PacketTooBig(mtu=1280) / IPv6(src=TO6, dst="2001:db8::1") / TCP(sport=80, dport=5000)
    yield ETH / IPv6(src="fe80::1", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt=TO6)
    yield ETH / v6 / IPv6ExtHdrHopByHop() / UDP(dport=80)
    yield ETH / v6 / IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / TCP(dport=80)
    yield ETH / v6 / IPv6ExtHdrFragment(offset=3, m=1, id=5) / text(80)
    yield ETH / v6 / IPv6(src="fd00::1", dst="fd00::2") / UDP()
    for piece in fragment(v4 / UDP(dport=80) / Raw(random.randbytes(1200)), fragsize=512):
        yield ETH / piece


def broken():
    """Headers with random fields."""
    yield ETH / fuzz(IP(dst=TO, src=client())) / text(60)
    yield ETH / IP(dst=TO, src=client()) / fuzz(TCP(dport=80)) / text(60)
    yield ETH / IP(dst=TO, src=client()) / fuzz(UDP(dport=80)) / text(60)
    yield ETH / IP(dst=TO, src=client()) / fuzz(ICMP()) / text(60)
    yield ETH / fuzz(IPv6(src="2001:db8::1", dst=TO6)) / text(60)
    yield ETH / fuzz(Dot1Q()) / fuzz(Dot1Q()) / IP(dst=TO) / UDP()
    yield ETH / fuzz(ARP(hwlen=6, plen=4, psrc=client(), pdst=TO))


def main():
    random.seed(SEED)
    root = pathlib.Path(__file__).resolve().parent.parent
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "xdp_progs" / "pcap" / "scapy.pcap"
    packets = []
    for _ in range(EACH):
        packets += [*whole(), *broken(), *broken()]
    for number, packet in enumerate(packets):
        packet.time = 1700000000 + number / 1000
    wrpcap(str(path), packets)
    print(f"{path}: {len(packets)} packets")


if __name__ == "__main__":
    main()
