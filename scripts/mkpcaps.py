#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes the packet captures that the XDP programs are shown with.

    scripts/mkpcaps.py [ROOT]      writes xdp_progs/pcap/*.pcap and xdp_progs/demo/firewall.pcap below ROOT

The same bytes come out every time: no clock, no random source but the small generator below. Classic pcap,
little-endian, microseconds, Ethernet. No packet is shorter than 14 bytes: the kernel's test run refuses those.
"""

import pathlib
import struct
import sys

ROUTER = "02:00:00:00:00:01"
HOST = "02:00:00:00:00:02"
BROADCAST = "ff:ff:ff:ff:ff:ff"
VRRP_MAC = "01:00:5e:00:00:12"
VRRP_GROUP = "224.0.0.18"

ICMP, TCP, UDP, ICMP6, VRRP = 1, 6, 17, 58, 112
IPV4, ARP, IPV6, QTAG, STAG, LLDP = 0x0800, 0x0806, 0x86DD, 0x8100, 0x88A8, 0x88CC


def mac(text):
    return bytes(int(part, 16) for part in text.split(":"))


def ip(text):
    return bytes(int(part) for part in text.split("."))


def ip6(last):
    return bytes.fromhex("20010db8") + bytes(10) + struct.pack(">H", last)


def filler(length, seed=1):
    """Bytes without a visible pattern, the same for the same seed (a 32-bit linear congruential generator)."""
    out, state = bytearray(), seed
    while len(out) < length:
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state >> 24)
    return bytes(out)


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def eth(payload, proto=IPV4, dst=ROUTER, src=HOST, tags=()):
    """`tags` are (EtherType of the tag, VLAN id), outermost first."""
    head = mac(dst) + mac(src)
    for kind, vid in tags:
        head += struct.pack(">HH", kind, vid)
    return head + struct.pack(">H", proto) + payload


def ipv4(payload, proto, src, dst, ttl=64, options=b"", frag=0, bad_checksum=False, version=4, ihl=None):
    ihl = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload)
    head = struct.pack(">BBHHHBBH", version << 4 | ihl, 0, length, 0x1234, frag, ttl, proto, 0)
    head += ip(src) + ip(dst) + options
    total = checksum(head) ^ (0x0101 if bad_checksum else 0)
    return head[:10] + struct.pack(">H", total) + head[12:] + payload


def ipv6(payload, proto, src=1, dst=2, hops=64):
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, hops) + ip6(src) + ip6(dst) + payload


def pseudo(src, dst, proto, length):
    return ip(src) + ip(dst) + struct.pack(">BBH", 0, proto, length)


def udp(src, dst, sport, dport, data):
    length = 8 + len(data)
    head = struct.pack(">HHHH", sport, dport, length, 0)
    total = checksum(pseudo(src, dst, UDP, length) + head + data) or 0xFFFF
    return head[:6] + struct.pack(">H", total) + data


def tcp(src, dst, sport, dport, data=b"", flags=0x10, options=b"", doff=None):
    doff = 5 + len(options) // 4 if doff is None else doff
    head = struct.pack(">HHIIBBHHH", sport, dport, 1000, 2000, doff << 4, flags, 8192, 0, 0) + options
    total = checksum(pseudo(src, dst, TCP, len(head) + len(data)) + head + data)
    return head[:16] + struct.pack(">H", total) + head[18:] + data


def icmp(kind, code, ident, seq, data):
    head = struct.pack(">BBHHH", kind, code, 0, ident, seq)
    return head[:2] + struct.pack(">H", checksum(head + data)) + head[4:] + data


def udp_in(src, dst="198.51.100.1", size=26, sport=4000, dport=53, tags=(), **ip_fields):
    return eth(ipv4(udp(src, dst, sport, dport, filler(size, sport)), UDP, src, dst, **ip_fields), tags=tags)


def tcp_in(src, dst="198.51.100.1", size=0, sport=5000, dport=80, tags=(), options=b"", doff=None, **ip_fields):
    segment = tcp(src, dst, sport, dport, filler(size, sport), options=options, doff=doff)
    return eth(ipv4(segment, TCP, src, dst, **ip_fields), tags=tags)


def ping(src, dst="198.51.100.1", seq=1, size=56, kind=8, code=0, tags=(), **ip_fields):
    return eth(ipv4(icmp(kind, code, 7, seq, filler(size, seq)), ICMP, src, dst, **ip_fields), tags=tags)


def vrrp(src, dst=VRRP_GROUP, ttl=255, tags=()):
    advert = struct.pack(">BBBBBBH", 0x31, 1, 100, 1, 0, 100, 0) + ip("198.51.100.254")
    advert = advert[:6] + struct.pack(">H", checksum(pseudo(src, dst, VRRP, len(advert)) + advert)) + advert[8:]
    return eth(ipv4(advert, VRRP, src, dst, ttl=ttl), dst=VRRP_MAC, tags=tags)


def arp(kind=1, sender="192.0.2.1", target="198.51.100.1"):
    body = struct.pack(">HHBBH", 1, IPV4, 6, 4, kind) + mac(HOST) + ip(sender) + bytes(6) + ip(target)
    return eth(body + bytes(18), proto=ARP, dst=BROADCAST)


def udp6(size=26, hops=64, src=1, dst=2):
    length = 8 + size
    head = struct.pack(">HHHH", 4000, 53, length, 0)
    data = filler(size, size)
    total = checksum(ip6(src) + ip6(dst) + struct.pack(">II", length, UDP) + head + data) or 0xFFFF
    return eth(ipv6(head[:6] + struct.pack(">H", total) + data, UDP, src, dst, hops), proto=IPV6)


def tcp6(size=0, hops=64, src=1, dst=2):
    head = struct.pack(">HHIIBBHHH", 5000, 80, 1, 2, 5 << 4, 2, 8192, 0, 0)
    data = filler(size, size)
    total = checksum(ip6(src) + ip6(dst) + struct.pack(">II", 20 + size, TCP) + head + data)
    return eth(ipv6(head[:16] + struct.pack(">H", total) + head[18:] + data, TCP, src, dst, hops), proto=IPV6)


def ping6(size=8, hops=255):
    head = struct.pack(">BBHHH", 128, 0, 0, 7, 1)
    data = filler(size, size)
    total = checksum(ip6(1) + ip6(2) + struct.pack(">II", 8 + size, ICMP6) + head + data)
    return eth(ipv6(head[:2] + struct.pack(">H", total) + head[4:] + data, ICMP6, hops=hops), proto=IPV6)


ONE_TAG = ((QTAG, 10),)
QINQ = ((STAG, 100), (QTAG, 10))
THREE_TAGS = ((STAG, 100), (QTAG, 10), (QTAG, 11))


def mix():
    """What every program meets: each protocol, each depth of tags, and headers that end at every place."""
    tcp_options = bytes.fromhex("020405b4" "01030307")
    whole = tcp_in("192.0.2.7", size=20, tags=QINQ)
    return [
        udp_in("192.0.2.1"),
        udp_in("192.0.2.2", size=0),
        udp_in("192.0.2.3", size=100, sport=4001),
        udp_in("203.0.113.5", size=470, sport=4002, tags=ONE_TAG),
        udp_in("203.0.113.5", size=18, tags=QINQ),
        udp_in("203.0.113.5", size=18, tags=THREE_TAGS),
        udp_in("192.0.2.4", options=bytes.fromhex("94040000")),
        udp_in("192.0.2.4", frag=0x2000),
        udp_in("192.0.2.4", frag=0x00B9),
        udp_in("192.0.2.4", ttl=1),
        udp_in("192.0.2.4", ttl=0),
        udp_in("192.0.2.4", bad_checksum=True),
        tcp_in("192.0.2.1"),
        tcp_in("192.0.2.2", size=10, options=tcp_options),
        tcp_in("192.0.2.3", size=1400),
        tcp_in("203.0.113.6", size=6, tags=ONE_TAG),
        tcp_in("203.0.113.6", size=6, tags=QINQ),
        tcp_in("192.0.2.3", size=40, options=tcp_options, ttl=2),
        tcp_in("192.0.2.3", size=12, frag=0x00B9),
        tcp_in("192.0.2.3", size=12, doff=4),
        tcp_in("192.0.2.3", size=12, doff=15),
        ping("192.0.2.1"),
        ping("192.0.2.1", seq=2, size=0),
        ping("203.0.113.9", seq=3, size=1000),
        ping("203.0.113.9", seq=4, tags=QINQ),
        ping("192.0.2.1", kind=0),
        eth(ipv4(filler(24), 47, "192.0.2.1", "198.51.100.1")),
        vrrp("192.0.2.1"),
        arp(),
        arp(kind=2),
        udp6(),
        udp6(size=300, hops=1),
        tcp6(),
        tcp6(size=77),
        ping6(),
        eth(ipv6(filler(16), 0), proto=IPV6),
        eth(filler(46), proto=LLDP),
        eth(filler(46), proto=0x0026),
        eth(ipv4(filler(20), UDP, "192.0.2.1", "198.51.100.1", version=5)),
        eth(ipv4(filler(20), UDP, "192.0.2.1", "198.51.100.1", ihl=4)),
        eth(ipv4(filler(8), UDP, "192.0.2.1", "198.51.100.1", ihl=15)),
        # One frame cut behind Ethernet, inside and behind each tag, inside and behind IPv4, inside and behind TCP.
        *(whole[:end] for end in (14, 16, 18, 20, 22, 41, 42, 50, 61, 62)),
        tcp6()[:40],
        tcp6()[:60],
    ]


def icmp_echo():
    """For xdping: sources that fill its map, codes and types that it must leave alone, checksums of every kind."""
    return [
        *(ping(f"192.0.2.{n}", seq=n, size=n) for n in range(1, 12)),
        *(ping("192.0.2.1", seq=seq, size=33) for seq in range(20, 25)),
        ping("192.0.2.1", dst="192.0.2.1"),
        ping("192.0.2.1", code=1),
        ping("192.0.2.1", kind=13),
        ping("192.0.2.1", frag=0x2000),
        ping("192.0.2.1", frag=0x0001),
        ping("192.0.2.1", frag=0x4000),
        ping("192.0.2.1", options=bytes.fromhex("94040000")),
        ping("192.0.2.1", size=1400),
        # 0xf800 less one: the reply's checksum wraps.
        *(echo_with_checksum(value) for value in (0x0000, 0xF7FF, 0xF800, 0xFFFE)),
        ping("192.0.2.1", size=0),
        ping("192.0.2.1", size=0)[:41],
        ping("192.0.2.1", size=0)[:34],
    ]


def echo_with_checksum(wanted):
    """An echo request whose two data bytes make its checksum `wanted`."""
    head = struct.pack(">BBHHH", 8, 0, 0, 7, 9)
    for word in range(0x10000):
        data = struct.pack(">H", word)
        if checksum(head + data) == wanted:
            break
    else:
        raise ValueError(f"no data gives the checksum {wanted:#06x}")
    return eth(ipv4(icmp(8, 0, 7, 9, data), ICMP, "192.0.2.2", "198.51.100.1"))


def lengths():
    """For xdp_maps: more length buckets than its map has room for, and their edges."""
    out = []
    for bucket in range(18):
        for size in (max(14, bucket * 64), bucket * 64 + 63):
            out.append(eth(filler(size - 14, size), proto=0x88B5))
    return out + [udp_in("192.0.2.1"), tcp_in("192.0.2.1"), arp()]


def firewall():
    """For xdp_firewall: each rule of its rule file, each decision of its own, each depth of tags."""
    return [
        # No rule at all, then the rules from the most to the least specific.
        udp_in("198.51.100.7"),
        tcp_in("198.51.100.7", tags=QINQ),
        udp_in("192.0.2.66"),
        tcp_in("192.0.2.66", tags=ONE_TAG),
        ping("192.0.2.66", tags=QINQ),
        udp_in("192.0.2.1"),
        udp_in("192.0.2.200", tags=QINQ),
        tcp_in("192.0.2.255", size=300, tags=QINQ),
        udp_in("10.1.0.1", tags=QINQ),
        udp_in("10.1.255.255", tags=ONE_TAG),
        tcp_in("10.1.2.3"),
        udp_in("10.1.2.3", tags=QINQ),
        udp_in("10.2.0.1"),
        tcp_in("10.255.255.255", tags=QINQ),
        ping("10.0.0.0"),
        # VRRP: allowed, not allowed, forged from afar, to a wrong group; tagged.
        vrrp("10.1.2.3", tags=QINQ),
        vrrp("10.1.2.3"),
        vrrp("192.0.2.66"),
        vrrp("192.0.2.1", tags=QINQ),
        vrrp("198.51.100.7"),
        vrrp("10.1.2.3", ttl=254),
        vrrp("10.1.2.3", dst="224.0.0.19"),
        # Not IPv4, and more tags than two.
        arp(),
        udp6(),
        tcp6(),
        eth(filler(46), proto=LLDP),
        udp_in("192.0.2.66", tags=THREE_TAGS),
        # Malformed.
        *(udp_in("10.2.0.1", tags=QINQ)[:end] for end in (14, 17, 18, 21, 22, 41)),
        udp_in("10.2.0.1", tags=QINQ)[:42],
        udp_in("10.2.0.1", ihl=4),
        udp_in("10.2.0.1", ihl=15, size=0),
        udp_in("10.2.0.1", version=6),
        # A rule whose number is no counter.
        udp_in("203.0.113.1"),
    ]


def demo():
    """For `make run`: a provider's edge in sixty packets; each rule of the demonstration is hit."""
    out = []
    for n in range(12):
        out.append(tcp_in(f"198.51.100.{n + 1}", size=40 * n, sport=5000 + n, tags=QINQ))
        out.append(udp_in(f"192.0.2.{n * 20}", size=64, sport=6000 + n, tags=QINQ))
        out.append(udp_in(f"10.1.{n}.1", size=18, sport=7000 + n, tags=QINQ if n % 2 else ()))
        if n % 2 == 0:
            out.append(ping(f"10.{n + 2}.0.1", seq=n, tags=ONE_TAG))
            out.append(udp_in("192.0.2.66", size=400, sport=8000 + n, tags=QINQ))
        if n % 3 == 0:
            out.append(vrrp("10.1.2.3", tags=QINQ))
            out.append(arp(sender=f"192.0.2.{n}"))
    out += [vrrp("198.51.100.9", tags=QINQ), vrrp("10.1.2.3", ttl=64, tags=QINQ)]
    out += [udp_in("192.0.2.1", tags=QINQ)[:30], udp6()]
    return out


def raw_tcp(data, src="192.0.2.1", dst="198.51.100.1", sport=5000, dport=80, flags=0x18, tags=()):
    return eth(ipv4(tcp(src, dst, sport, dport, data, flags), TCP, src, dst), tags=tags)


def raw_tcp6(data, sport=5000, dport=80, flags=0x18, src=1, dst=2):
    head = struct.pack(">HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 8192, 0, 0)
    total = checksum(ip6(src) + ip6(dst) + struct.pack(">II", 20 + len(data), TCP) + head + data)
    return eth(ipv6(head[:16] + struct.pack(">H", total) + head[18:] + data, TCP, src, dst), proto=IPV6)


def icmp_about(inner, kind=3, code=4, src="192.0.2.1", dst="198.51.100.1", mtu=1400):
    """An ICMP error that quotes an IPv4 packet."""
    return eth(ipv4(icmp(kind, code, 0, mtu, inner), ICMP, src, dst))


def icmp6_about(inner, kind=2, code=0, src=1, dst=2, mtu=1280):
    head = struct.pack(">BBHI", kind, code, 0, mtu)
    total = checksum(ip6(src) + ip6(dst) + struct.pack(">II", 8 + len(inner), ICMP6) + head + inner)
    return eth(ipv6(head[:2] + struct.pack(">H", total) + head[4:] + inner, ICMP6, src, dst), proto=IPV6)


def long_frames():
    """For xdp_adjust_tail: frames around its limit and far above it, and those about which no answer is given."""
    return [
        *(udp_in("192.0.2.1", size=length - 42) for length in (14 + 28, 599, 600, 601, 700, 1514, 3500)),
        tcp_in("192.0.2.2", size=1400),
        tcp_in("192.0.2.2", size=700, options=bytes.fromhex("020405b4" "01030307"), ttl=1),
        udp_in("192.0.2.1", size=900, options=bytes.fromhex("94040000")),
        udp_in("192.0.2.1", size=900, frag=0x2000),
        udp_in("192.0.2.1", size=900, frag=0x00B9),
        *(ping("192.0.2.1", size=900, kind=kind) for kind in (8, 0, 13, 3, 11)),
        *(udp_in(src, size=900) for src in ("0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "223.255.255.255")),
        udp_in("192.0.2.1", size=900, tags=ONE_TAG),
        udp_in("192.0.2.1", size=900, version=6),
        udp6(size=900),
        arp(),
        eth(ipv4(filler(900), 47, "192.0.2.1", "198.51.100.1")),
    ]


def services():
    """For the tunnel and the balancers: each service, the way back, fragments, and what is for none."""
    back = [tcp("10.8.0.%d" % n, "192.0.2.1", port, 5000, b"answer") for n, port in ((1, 8080), (2, 8080), (3, 80), (1, 80))]
    return [
        *(raw_tcp(filler(size, size), src=f"192.0.2.{n}", sport=5000 + n, flags=2 if n == 1 else 0x18)
          for n, size in enumerate((0, 5, 64, 1200), 1)),
        *(udp_in(f"203.0.113.{n}", sport=4000 + n) for n in range(4)),
        udp_in("192.0.2.1", dport=80),
        eth(ipv4(udp("192.0.2.1", "198.51.100.1", 1, 80, b"no checksum")[:6] + bytes(2) + b"no checksum", UDP,
                 "192.0.2.1", "198.51.100.1")),
        *(eth(ipv4(segment, TCP, f"10.8.0.{n}", "192.0.2.1")) for n, segment in zip((1, 2, 3, 1), back)),
        raw_tcp6(b"", flags=2),
        raw_tcp6(filler(100)),
        raw_tcp6(filler(10), dst=3),
        udp6(),
        ping("192.0.2.1"),
        ping6(),
        tcp_in("192.0.2.3", frag=0x2000, size=40),
        tcp_in("192.0.2.3", frag=0x00B9, size=40),
        tcp_in("192.0.2.3", dst="198.51.100.2"),
        udp_in("192.0.2.3", dst="198.51.100.2"),
        tcp_in("192.0.2.3", size=10, tags=ONE_TAG),
        tcp_in("192.0.2.3", size=10, options=bytes.fromhex("020405b4")),
        *(raw_tcp(b"")[:end] for end in (14, 33, 34, 37, 38, 53)),
        *(raw_tcp6(b"")[:end] for end in (53, 54, 57, 58, 73)),
        *(udp_in("192.0.2.9")[:end] for end in (38, 41, 42)),
        arp(),
    ]


def quic(first, version_id, rest=b""):
    """A UDP payload that begins like a QUIC packet: a long header when the first byte's high bit is set."""
    if first & 0x80:
        return bytes([first]) + bytes.fromhex("00000001") + bytes([len(version_id)]) + version_id + rest
    return bytes([first]) + version_id + rest


def balancer():
    """For xdp_l4lb: beside services, QUIC ids of both layouts, ICMP about flows, echoes, repeated flows, resets."""
    def quic_in(payload, sport=6000):
        return eth(ipv4(udp("192.0.2.1", "198.51.100.1", sport, 443, payload), UDP, "192.0.2.1", "198.51.100.1"))

    # Server 1029 in the first layout: 16 bits behind two; server 7 in the second: the last 16 of three bytes.
    first = bytes([0x40 | 1029 >> 10, 1029 >> 2 & 0xFF, (1029 & 3) << 6]) + filler(5)
    second = bytes([0x80, 0, 0, 7]) + filler(4)
    unknown = bytes([0x80, 0, 0x12, 0x34]) + filler(4)
    tcp_flow = ipv4(tcp("198.51.100.1", "192.0.2.4", 80, 5004, b"quoted"), TCP, "198.51.100.1", "192.0.2.4")
    udp_flow = ipv4(udp("198.51.100.1", "192.0.2.1", 443, 6000, b"quoted"), UDP, "198.51.100.1", "192.0.2.1")
    tcp6_flow = raw_tcp6(b"quoted", sport=80, dport=5000, src=2, dst=1)[14:]
    return [
        *services(),
        *services()[:8],
        raw_tcp(b"", flags=4),
        raw_tcp(b"", dport=8080),
        raw_tcp(b"", dport=8081),
        *(quic_in(quic(head, ident, filler(20)))
          for head in (0xC0, 0xD0, 0xE0, 0xF0, 0x40) for ident in (first, second, unknown, filler(8), bytes(8))),
        *(quic_in(payload) for payload in (b"", b"\x40", b"\xe0" + bytes(5), quic(0xE0, first[:4], bytes(4)), quic(0x40, first)[:8])),
        icmp_about(tcp_flow),
        icmp_about(tcp_flow, code=1),
        icmp_about(udp_flow),
        icmp_about(tcp_flow, kind=11, code=0),
        icmp_about(ipv4(filler(20), 47, "198.51.100.1", "192.0.2.1")),
        *(icmp_about(tcp_flow[:length]) for length in (0, 19, 20, 23, 24)),
        icmp_about(ipv4(filler(20), TCP, "198.51.100.1", "192.0.2.1", frag=0x00B9)),
        icmp_about(ipv4(filler(20), TCP, "198.51.100.1", "192.0.2.1", options=bytes(4))),
        icmp6_about(tcp6_flow),
        icmp6_about(tcp6_flow, kind=1, code=4),
        icmp6_about(tcp6_flow, kind=3),
        *(icmp6_about(tcp6_flow[:length]) for length in (0, 39, 40, 43, 44)),
        ping("192.0.2.1", size=1000),
        ping("192.0.2.1", code=1),
        ping("192.0.2.1", dst="198.51.100.9"),
        ping6(size=0),
        eth(ipv6(filler(16), 44), proto=IPV6),
    ]


def http():
    """For xdp_tcpclassify and xdp_httpdump: requests, responses, and what only looks like them."""
    request = b"GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    texts = [
        request, response, b"HEAD / HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\nbody", b"PUT /x HTTP/1.1\r\n\r\n",
        b"DELETE /x HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b"PATCH /x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.", b"get / HTTP/1.1\r\n", b"x\nHTTP/1.1",
        b"GET /" + b"a" * 50 + b" HTTP/1.1\r\n", b"GET /" + b"a" * 51 + b"HTTP/1.1", b"GET /" + b"a" * 52 + b" HTTP/1.1\r\n",
        b"HHTTP/1.1 HTTP/1.1", b"\x16\x03\x01" + filler(60), b"", b"G",
        b"GET /" + filler(1200).replace(b"\n", b"n"), response + filler(255 - len(response)), response + filler(300),
    ]
    padded = raw_tcp(b"GET ") + bytes(6)
    return [
        *(raw_tcp(text, sport=5000 + n) for n, text in enumerate(texts)),
        *(raw_tcp6(text, sport=5000 + n) for n, text in enumerate(texts[:10])),
        raw_tcp(request, tags=QINQ), raw_tcp(request, tags=THREE_TAGS), raw_tcp(request, dport=8080), padded,
        *(raw_tcp(request)[:end] for end in (53, 54, 55, 61, 62, 80)),
        udp_in("192.0.2.1"), ping("192.0.2.1"), arp(), udp6(), tcp_in("192.0.2.1", frag=0x00B9, size=60),
    ]


def handshakes():
    """For xdp_observer and xdp_syncookie: every combination of flags, to protected ports and others, with options."""
    options = bytes.fromhex("020405b4" "0402" "080a" "00000001" "00000000" "01" "030307")
    return [
        *(raw_tcp(b"", src=f"192.0.2.{10 + flags}", flags=flags) for flags in range(64)),
        *(raw_tcp6(b"", sport=5000 + flags, flags=flags) for flags in range(32)),
        raw_tcp(b"data", src="192.0.2.3", flags=0x18),
        raw_tcp(b"", src="192.0.2.3", flags=0x04),
        raw_tcp(b"", src="192.0.2.3", flags=0x10),
        *(raw_tcp(b"", dport=port, flags=2) for port in (443, 8080, 0)),
        *(eth(ipv4(with_flags(tcp("192.0.2.1", "198.51.100.1", 5000, 80, b"", 2, options[:n]), 2), TCP, "192.0.2.1", "198.51.100.1"))
          for n in (0, 4, 8, 12, 16, 20)),
        tcp_in("192.0.2.1", options=bytes.fromhex("020405b4")),
        tcp_in("192.0.2.1", doff=4), tcp_in("192.0.2.1", doff=15),
        tcp_in("192.0.2.1", frag=0x2000), tcp_in("192.0.2.1", frag=0x00B9),
        tcp_in("192.0.2.1", tags=QINQ), udp_in("192.0.2.1"), udp6(), arp(),
        *(raw_tcp(b"", flags=2)[:end] for end in (14, 33, 34, 53)),
        *(raw_tcp6(b"", flags=2)[:end] for end in (53, 54, 73)),
    ]


def with_flags(segment, flags):
    return segment[:13] + bytes([flags]) + segment[14:]


def routes():
    """For the routers: every TTL that matters, tags, rules, destinations with and without a way."""
    return [
        *mix(),
        *(udp_in("192.0.2.1", ttl=ttl) for ttl in (0, 1, 2, 3, 128, 255)),
        *(udp_in(f"192.0.{n}.77", ttl=64, sport=n + 1) for n in range(1, 20)),
        *(tcp_in("192.0.2.1", dst=f"198.51.100.{n}") for n in (1, 2, 3)),
        *(tcp_in("192.0.2.1", dst="198.51.100.1", tags=((QTAG, vid),)) for vid in (0, 10, 11, 0x6000 | 10)),
        udp_in("192.0.2.1", tags=ONE_TAG, dport=54),
        udp_in("192.0.2.1", tags=((QTAG, 10),)),
        ping("192.0.2.1", tags=ONE_TAG),
    ]


def tags_of_all_kinds():
    """For xdp_vlan: the VLANs that it pops and rewrites, others, priority bits, service tags, tags cut short."""
    vids = (0, 10, 100, 101, 202, 0x600A, 0x7065, 4095)
    return [
        *mix(),
        *(udp_in("192.0.2.1", tags=((kind, vid),)) for kind in (QTAG, STAG) for vid in vids),
        *(udp_in("192.0.2.1", tags=((STAG, vid), (QTAG, 10))) for vid in vids),
        *(udp_in("192.0.2.1", tags=((QTAG, 10),))[:end] for end in (14, 15, 17, 18, 19)),
    ]


def chosen_by_source():
    """For xdp_redirect_err: each of its cases, chosen by the source MAC address."""
    return [eth(filler(50), proto=0x88B5, src=f"02:00:00:00:00:{n:02x}") for n in range(24)]


def suspicious():
    """For xdp_sampler: each rule of its own."""
    return [
        *mix(),
        *(raw_tcp(b"", flags=flags) for flags in range(64)),
        udp_in("198.51.100.1"), tcp_in("198.51.100.1"), udp_in("224.0.0.1"), udp_in("255.255.255.255"),
        tcp_in("192.0.2.1", frag=0x2000)[:50], tcp_in("192.0.2.1", frag=0x2000)[:34],
        udp_in("192.0.2.1", size=1000), raw_tcp(filler(900), flags=0),
    ]


def marked():
    """For xdp_frags: lengths around its steps, with its mark at the end and without."""
    out = [eth(filler(size, size + 1), proto=0x88B5) for size in (0, 1, 49, 50, 51, 114, 500, 1500, 3400)]
    out += [eth(filler(size, 3) + b"xdpfrags", proto=0x88B5) for size in (0, 1, 41, 42, 43, 100, 1490, 3300)]
    return out + [eth(b"xdpfrag", proto=0x88B5), eth(b"xdpfrags ", proto=0x88B5), *mix()]


CAPTURES = {
    "pcap/xdp_adjust_tail": long_frames,
    "pcap/xdp_tx_iptunnel": services,
    "pcap/xdp_fw": handshakes,
    "pcap/xdp_lb": services,
    "pcap/xdp_tcpclassify": http,
    "pcap/xdp_httpdump": http,
    "pcap/xdp_observer": handshakes,
    "pcap/xdp_dump": mix,
    "pcap/xdp_acl": firewall,
    "pcap/xdp_l4lb": balancer,
    "pcap/xdp_forward": routes,
    "pcap/xdp_router": routes,
    "pcap/xdp_mem_access": mix,
    "pcap/xdp_drop_pattern": mix,
    "pcap/xdp_ddos_blacklist": mix,
    "pcap/xdp_redirect_cpu": mix,
    "pcap/xdp_tcpdump": mix,
    "pcap/xdp_ttl": mix,
    "pcap/xdp_vlan": tags_of_all_kinds,
    "pcap/xdp_redirect_err": chosen_by_source,
    "pcap/xdp_sock": mix,
    "pcap/xdp_syncookie": handshakes,
    "pcap/xdp_frags": marked,
    "pcap/xdp_sampler": suspicious,
    "pcap/xdp_metadata": mix,
    "pcap/xdp_pass": mix,
    "pcap/xdp_drop": mix,
    "pcap/xdp_tx": mix,
    "pcap/xdp_map_access": mix,
    "pcap/xdp_maps": lengths,
    "pcap/xdp_csum": mix,
    "pcap/xdp_csum_only": mix,
    "pcap/xdp_hash_sum": mix,
    "pcap/xdping": icmp_echo,
    "pcap/xdp_firewall": firewall,
    "pcap/xdp_root": mix,
    "pcap/xdp_tail_calls": mix,
    "demo/firewall": demo,
}


def pcap(packets):
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, packet in enumerate(packets):
        # One packet a millisecond, from a round second on.
        out += struct.pack("<IIII", 1700000000, number * 1000, len(packet), len(packet)) + packet
    return out


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    for name, packets in CAPTURES.items():
        path = root / "xdp_progs" / f"{name}.pcap"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = packets()
        assert all(len(packet) >= 14 for packet in made), name
        path.write_bytes(pcap(made))
        print(f"{path.relative_to(root)}: {len(made)} packets")


if __name__ == "__main__":
    main()
