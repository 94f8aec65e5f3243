// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_observer: an event for each step in the life of a TCP connection.
 *
 * Maps: events (RINGBUF, 64 KiB): a struct event for each segment with SYN, FIN or RST.
 * Helpers: bpf_ringbuf_output.
 * Expect: XDP_PASS, the packet untouched. TCP over IPv4 and IPv6 behind up to two VLAN tags; fragments but the first
 * are not looked at. The ring's reader is woken at once. An event that finds the ring full is lost.
 */
#include "parse.h"

enum step { OPENING = 1, ACCEPTED, CLOSING, RESET };

struct event {
	__be32 source[4]; /* IPv4 in the first word */
	__be32 dest[4];
	__be16 source_port;
	__be16 dest_port;
	__be32 sequence;
	__be16 window;
	__u8 family; /* 4 or 6 */
	__u8 step;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

static __always_inline __u8 step_of(const struct tcphdr *tcp)
{
	if (tcp->rst)
		return RESET;
	if (tcp->syn)
		return tcp->ack ? ACCEPTED : OPENING;
	return tcp->fin ? CLOSING : 0;
}

SEC("xdp")
int xdp_observer(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct event event = {};
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct tcphdr *tcp;
	struct iphdr *ip;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return XDP_PASS;
	proto = skip_vlans(&c, eth->h_proto);
	if (proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(&c, &ip) || ip->protocol != IPPROTO_TCP || (ip->frag_off & bpf_htons(IP_OFFSET)))
			return XDP_PASS;
		event.family = 4;
		event.source[0] = ip->saddr;
		event.dest[0] = ip->daddr;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(&c, &ip6) || ip6->nexthdr != IPPROTO_TCP)
			return XDP_PASS;
		event.family = 6;
		__builtin_memcpy(event.source, &ip6->saddr, sizeof(event.source));
		__builtin_memcpy(event.dest, &ip6->daddr, sizeof(event.dest));
	} else {
		return XDP_PASS;
	}
	if (!take_tcp(&c, &tcp))
		return XDP_PASS;
	event.step = step_of(tcp);
	if (!event.step)
		return XDP_PASS;
	event.source_port = tcp->source;
	event.dest_port = tcp->dest;
	event.sequence = tcp->seq;
	event.window = tcp->window;
	bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_FORCE_WAKEUP);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
