// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_acl: an access list by source prefix, IPv4 and IPv6, with protocol and port range.
 *
 * Maps: acl_v4, acl_v6 (LPM_TRIE, 4096 and 4096): prefix of the source address -> an entry: verdict, the protocol it is
 *       for (0: all), a range of destination ports in host order (0 to 65535: also what has no ports), and how often
 *       it decided. The longest prefix decides alone: an entry that is not for the packet leaves it to `otherwise`.
 *       .data: otherwise, the verdict of packets without an entry, may be changed at any time.
 * Helpers: bpf_map_lookup_elem.
 * Expect: XDP_PASS or XDP_DROP, no packet changes. IPv4 and IPv6 behind up to two VLAN tags are looked up; what is
 * neither is XDP_PASS. A header cut short or malformed is XDP_DROP. Fragments but the first, and IPv6 extension headers,
 * have no ports: only entries for all ports are for them.
 */
#include "parse.h"

struct v4_prefix {
	__u32 len;
	__be32 address;
};

struct v6_prefix {
	__u32 len;
	__be32 address[4];
};

struct entry {
	__u32 verdict; /* XDP_DROP (1) or XDP_PASS (2) */
	__u16 first_port;
	__u16 last_port;
	__u32 protocol;
	__u32 unused;
	__u64 hits;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct v4_prefix);
	__type(value, struct entry);
} acl_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct v6_prefix);
	__type(value, struct entry);
} acl_v6 SEC(".maps");

__u32 otherwise = XDP_PASS;

/* Where a packet has no ports. */
#define NO_PORT -1

static __always_inline int decide(struct entry *entry, __u32 protocol, int port)
{
	if (!entry || (entry->protocol && entry->protocol != protocol))
		return otherwise == XDP_DROP ? XDP_DROP : XDP_PASS;
	if (entry->first_port != 0 || entry->last_port != 0xffff)
		if (port < entry->first_port || port > entry->last_port)
			return otherwise == XDP_DROP ? XDP_DROP : XDP_PASS;
	__sync_fetch_and_add(&entry->hits, 1);
	return entry->verdict == XDP_DROP ? XDP_DROP : XDP_PASS;
}

/* The destination port in host order, NO_PORT where the protocol has none; -2 where the header is cut short. */
static __always_inline int port_of(struct cursor *c, __u8 protocol)
{
	struct ports *ports;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return NO_PORT;
	if (!take_ports(c, &ports))
		return NO_PORT - 1;
	return bpf_ntohs(ports->dest);
}

SEC("xdp")
int xdp_acl(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct v4_prefix v4 = { .len = 32 };
	struct v6_prefix v6 = { .len = 128 };
	int port = NO_PORT;
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	proto = skip_vlans(&c, eth->h_proto);
	if (is_vlan(proto) && c.pos + sizeof(struct vlan_tag) > c.end)
		return XDP_DROP;
	if (proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(&c, &ip))
			return XDP_DROP;
		if (!(ip->frag_off & bpf_htons(IP_OFFSET)))
			port = port_of(&c, ip->protocol);
		if (port < NO_PORT)
			return XDP_DROP;
		v4.address = ip->saddr;
		return decide(bpf_map_lookup_elem(&acl_v4, &v4), ip->protocol, port);
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(&c, &ip6))
			return XDP_DROP;
		port = port_of(&c, ip6->nexthdr);
		if (port < NO_PORT)
			return XDP_DROP;
		__builtin_memcpy(v6.address, &ip6->saddr, sizeof(v6.address));
		return decide(bpf_map_lookup_elem(&acl_v6, &v6), ip6->nexthdr, port);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
