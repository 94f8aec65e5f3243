// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_drop: parse down to TCP and drop it.
 *
 * Maps: none. Helpers: none.
 * Expect: XDP_DROP for a packet with a complete TCP header over IPv4 (options and up to two VLAN tags
 * included) or directly over IPv6. Everything else, cut-short headers and later fragments among it, is
 * XDP_PASS. No packet changes.
 */
#include "parse.h"

/* The fragment offset in iphdr.frag_off; what is left are the two flags and the reserved bit. */
#define FRAG_OFFSET 0x1fff

SEC("xdp")
int xdp_drop(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct tcphdr *tcp;
	struct iphdr *ip;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return XDP_PASS;
	proto = skip_vlans(&c, eth->h_proto);

	if (proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(&c, &ip) || ip->protocol != IPPROTO_TCP || (ip->frag_off & bpf_htons(FRAG_OFFSET)))
			return XDP_PASS;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(&c, &ip6) || ip6->nexthdr != IPPROTO_TCP)
			return XDP_PASS;
	} else {
		return XDP_PASS;
	}
	return take_tcp(&c, &tcp) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
