// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_ttl: statistics of the TTL and of the hop limit, and how far packets have come.
 *
 * Maps: ttls (PERCPU_ARRAY, 256 x u64): packets by TTL or hop limit.
 *       distances (PERCPU_ARRAY, 256 x u64): packets by hops behind them, guessed from the next initial value above
 *       (32, 64, 128 or 255).
 * Helpers: bpf_map_lookup_elem.
 * Expect: XDP_PASS, the packet untouched. IPv4 and IPv6 behind up to two VLAN tags are counted; a packet that arrives
 * with a TTL of 0 is no valid one: counted and XDP_DROP.
 */
#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} ttls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} distances SEC(".maps");

static __always_inline void count(void *map, __u32 at)
{
	__u64 *packets = bpf_map_lookup_elem(map, &at);

	if (packets)
		*packets += 1;
}

static __always_inline __u32 initial_above(__u32 ttl)
{
	if (ttl <= 32)
		return 32;
	if (ttl <= 64)
		return 64;
	return ttl <= 128 ? 128 : 255;
}

SEC("xdp")
int xdp_ttl(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__be16 proto;
	__u32 ttl;

	if (!take_eth(&c, &eth))
		return XDP_PASS;
	proto = skip_vlans(&c, eth->h_proto);
	if (proto == bpf_htons(ETH_P_IP) && take_ipv4(&c, &ip))
		ttl = ip->ttl;
	else if (proto == bpf_htons(ETH_P_IPV6) && take_ipv6(&c, &ip6))
		ttl = ip6->hop_limit;
	else
		return XDP_PASS;
	count(&ttls, ttl);
	count(&distances, initial_above(ttl) - ttl);
	return ttl ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
