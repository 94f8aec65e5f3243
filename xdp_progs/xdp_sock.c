// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_sock: hand packets to the process that reads their queue, through its AF_XDP socket or the embedding program.
 *
 * Maps: sockets (XSKMAP, 64): by receive queue.
 *       steered (PERCPU_ARRAY, 2 x u64): packets for a socket, packets left to the host.
 *       .data: protocol, the only IP protocol that is handed over (0: everything), may be changed at any time.
 * Helpers: bpf_redirect_map, bpf_map_lookup_elem.
 * Expect: XDP_REDIRECT if the queue has a socket, else XDP_PASS; the packet untouched. With a protocol set, what is not
 * IPv4 or IPv6 of that protocol, behind up to two VLAN tags, is XDP_PASS.
 */
#include "parse.h"

enum { TO_SOCKET, TO_HOST, COUNTS };

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} steered SEC(".maps");

__u32 protocol = 0;

static __always_inline int is_wanted(struct xdp_md *ctx, __u32 wanted)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__be16 proto;

	if (!wanted)
		return 1;
	if (!take_eth(&c, &eth))
		return 0;
	proto = skip_vlans(&c, eth->h_proto);
	if (proto == bpf_htons(ETH_P_IP))
		return take_ipv4(&c, &ip) && ip->protocol == wanted;
	if (proto == bpf_htons(ETH_P_IPV6))
		return take_ipv6(&c, &ip6) && ip6->nexthdr == wanted;
	return 0;
}

SEC("xdp")
int xdp_sock(struct xdp_md *ctx)
{
	int action = XDP_PASS;
	__u64 *packets;
	__u32 what;

	if (is_wanted(ctx, protocol))
		action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	what = action == XDP_REDIRECT ? TO_SOCKET : TO_HOST;
	packets = bpf_map_lookup_elem(&steered, &what);
	if (packets)
		*packets += 1;
	return action;
}

char _license[] SEC("license") = "Dual MIT/GPL";
