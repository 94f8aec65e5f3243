// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_tail_calls: a chain through three program arrays that writes its way into the packet, up to the call
 * limit.
 *
 * Maps: first, second, third (PROG_ARRAY, 4 slots each, empty after loading; see xdp_tail_calls.maps.json).
 * Helpers: bpf_tail_call.
 * Expect: xdp_tail_calls is the entry. It clears the source MAC address; each program that runs after it adds
 * one to the byte of its stage: byte 7 (first), 8 (second), 9 (third). A call that fails sets byte 11 to the
 * stage that made it (1 the entry, 2 the first, ...), and the packet is XDP_PASS unless said otherwise.
 *  - first[0] first_ipv4, first[1] first_ipv6 (slots 2 and 3 are empty): by EtherType; others go to slot 2.
 *    Both are XDP_DROP on a header cut short, with their mark set.
 *  - second[0] second_udp, second[1] second_tcp, second[2] second_icmp: by protocol; others go to slot 77,
 *    out of range.
 *  - third[0] third_tx: XDP_TX. third[1] third_again: calls itself until the limit of 33 tail calls a packet
 *    refuses, then XDP_TX; byte 9 is 31 then, since two calls led there. third[2] third_drop: XDP_DROP.
 */
#include "parse.h"

enum { FAILED_BYTE = 5 }; /* offset in the source MAC address, as the number of a stage is */
enum { SLOT_IPV4 = 0, SLOT_IPV6 = 1, SLOT_OTHER = 2 };
enum { SLOT_UDP = 0, SLOT_TCP = 1, SLOT_ICMP = 2, SLOT_NONE = 77 };
enum { SLOT_TX = 0, SLOT_AGAIN = 1, SLOT_DROP = 2 };

#define PROG_ARRAY_OF_4(name)                            \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);   \
		__uint(max_entries, 4);                  \
		__type(key, __u32);                      \
		__type(value, __u32);                    \
	} name SEC(".maps")

PROG_ARRAY_OF_4(first);
PROG_ARRAY_OF_4(second);
PROG_ARRAY_OF_4(third);

/* Leaves the mark of a stage in the packet and steps over the Ethernet header; returns 0 if that is cut short. */
static __always_inline int mark(struct cursor *c, struct ethhdr **eth, int stage)
{
	if (!take_eth(c, eth))
		return 0;
	(*eth)->h_source[stage] += 1;
	return 1;
}

SEC("xdp")
int xdp_tail_calls(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	__u32 slot = SLOT_OTHER;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	__builtin_memset(eth->h_source, 0, ETH_ALEN);
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		slot = SLOT_IPV4;
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		slot = SLOT_IPV6;
	bpf_tail_call(ctx, &first, slot);
	eth->h_source[FAILED_BYTE] = 1;
	return XDP_PASS;
}

static __always_inline int call_second(struct xdp_md *ctx, struct ethhdr *eth, __u8 protocol)
{
	__u32 slot = SLOT_NONE;

	if (protocol == IPPROTO_UDP)
		slot = SLOT_UDP;
	else if (protocol == IPPROTO_TCP)
		slot = SLOT_TCP;
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		slot = SLOT_ICMP;
	bpf_tail_call(ctx, &second, slot);
	eth->h_source[FAILED_BYTE] = 2;
	return XDP_PASS;
}

SEC("xdp")
int first_ipv4(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct iphdr *ip;

	if (!mark(&c, &eth, 1))
		return XDP_DROP;
	if (!take_ipv4(&c, &ip))
		return XDP_DROP;
	return call_second(ctx, eth, ip->protocol);
}

SEC("xdp")
int first_ipv6(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ipv6hdr *ip6;
	struct ethhdr *eth;

	if (!mark(&c, &eth, 1))
		return XDP_DROP;
	if (!take_ipv6(&c, &ip6))
		return XDP_DROP;
	return call_second(ctx, eth, ip6->nexthdr);
}

static __always_inline int call_third(struct xdp_md *ctx, __u32 slot)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!mark(&c, &eth, 2))
		return XDP_DROP;
	bpf_tail_call(ctx, &third, slot);
	eth->h_source[FAILED_BYTE] = 3;
	return XDP_PASS;
}

SEC("xdp")
int second_udp(struct xdp_md *ctx)
{
	return call_third(ctx, SLOT_TX);
}

SEC("xdp")
int second_tcp(struct xdp_md *ctx)
{
	return call_third(ctx, SLOT_AGAIN);
}

SEC("xdp")
int second_icmp(struct xdp_md *ctx)
{
	return call_third(ctx, SLOT_DROP);
}

SEC("xdp")
int third_tx(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	return mark(&c, &eth, 3) ? XDP_TX : XDP_ABORTED;
}

SEC("xdp")
int third_again(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!mark(&c, &eth, 3))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &third, SLOT_AGAIN);
	eth->h_source[FAILED_BYTE] = 4;
	return XDP_TX;
}

SEC("xdp")
int third_drop(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	return mark(&c, &eth, 3) ? XDP_DROP : XDP_ABORTED;
}

char _license[] SEC("license") = "Dual MIT/GPL";
