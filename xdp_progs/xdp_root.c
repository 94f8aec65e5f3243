// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_root: a chain of programs over one program array, chosen by what the packet is.
 *
 * Maps: chain (PROG_ARRAY, 8 slots, empty after loading; see enum slot and xdp_root.maps.json).
 * Helpers: bpf_tail_call.
 * Expect: xdp_root is the entry. It calls the slot of the EtherType; root_ipv4 and root_ipv6 take one from
 * TTL or hop limit and call the slot of the protocol. An empty slot, or a protocol without a slot, ends the
 * chain with XDP_PASS.
 *  - root_arp: XDP_PASS, untouched.
 *  - root_ipv4, root_ipv6: XDP_DROP, untouched, if the header is cut short or the hop count is at most one.
 *  - root_udp: XDP_TX with MAC addresses exchanged. root_tcp: XDP_DROP.
 * As the rule file leaves VLAN empty, tagged frames pass untouched.
 */
#include "parse.h"

enum slot { ARP, IPV4, IPV6, VLAN, UDP, TCP, SLOTS = 8 };

/* Beyond the array: a tail call there fails, as one into an empty slot does. */
#define NO_SLOT 99

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} chain SEC(".maps");

static __always_inline __u32 slot_of_protocol(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_UDP:
		return UDP;
	case IPPROTO_TCP:
		return TCP;
	default:
		return NO_SLOT;
	}
}

SEC("xdp")
int xdp_root(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	/* One call a case: with a constant slot, the call may become a direct jump. */
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_ARP):
		bpf_tail_call(ctx, &chain, ARP);
		break;
	case bpf_htons(ETH_P_IP):
		bpf_tail_call(ctx, &chain, IPV4);
		break;
	case bpf_htons(ETH_P_IPV6):
		bpf_tail_call(ctx, &chain, IPV6);
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		bpf_tail_call(ctx, &chain, VLAN);
		break;
	}
	return XDP_PASS;
}

SEC("xdp")
int root_arp(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int root_ipv4(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 check;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	if (!take_ipv4(&c, &ip) || ip->ttl <= 1)
		return XDP_DROP;
	ip->ttl -= 1;
	/* TTL is the high byte of its word: the sum loses 0x0100, so its complement gains it (RFC 1624). */
	check = (__u32)ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	bpf_tail_call(ctx, &chain, slot_of_protocol(ip->protocol));
	return XDP_PASS;
}

SEC("xdp")
int root_ipv6(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct ipv6hdr *ip6;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	if (!take_ipv6(&c, &ip6) || ip6->hop_limit <= 1)
		return XDP_DROP;
	ip6->hop_limit -= 1;
	bpf_tail_call(ctx, &chain, slot_of_protocol(ip6->nexthdr));
	return XDP_PASS;
}

SEC("xdp")
int root_udp(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	swap_macs(eth);
	return XDP_TX;
}

SEC("xdp")
int root_tcp(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
