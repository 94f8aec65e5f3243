// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_forward: forward by a static table, or by the host's routes.
 *
 * Maps: static_routes (HASH, 1024): IPv4 destination as it stands in the packet -> the port to leave by and the MAC
 *       addresses to write.
 *       passed_on (PERCPU_HASH, 64): ifindex of the port to leave by -> packets and bytes.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_redirect; bpf_fib_lookup in the second program.
 * Programs: xdp_forward takes static_routes alone; xdp_forward_fib asks the host where the table has no entry.
 * Expect: an untagged IPv4 packet (IPv6 too where the host is asked) with a way to go is XDP_REDIRECT with its TTL one
 * less, the checksum adjusted and the MAC addresses of the next hop. With a TTL of 0 or 1, options, or no way to go it
 * is XDP_PASS, untouched, for the host to answer. Everything else is XDP_PASS.
 */
#include "parse.h"

#define AF_INET 2
#define AF_INET6 10

struct way {
	__u32 ifindex;
	__u8 dest[ETH_ALEN];
	__u8 source[ETH_ALEN];
};

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct way);
} static_routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct count);
} passed_on SEC(".maps");

static __always_inline void count(struct xdp_md *ctx, __u32 ifindex)
{
	__u64 bytes = ctx->data_end - ctx->data;
	struct count first = { .packets = 1, .bytes = bytes };
	struct count *count = bpf_map_lookup_elem(&passed_on, &ifindex);

	if (count) {
		count->packets += 1;
		count->bytes += bytes;
	} else {
		bpf_map_update_elem(&passed_on, &ifindex, &first, BPF_NOEXIST);
	}
}

/* One from the TTL; the checksum follows (RFC 1624), since the TTL is the high byte of its word. */
static __always_inline void age_ipv4(struct iphdr *ip)
{
	__u32 check = ip->check + bpf_htons(0x0100);

	ip->check = check + (check >= 0xffff);
	ip->ttl -= 1;
}

static __always_inline int may_forward(const struct iphdr *ip)
{
	return ip->ihl == 5 && ip->ttl > 1;
}

SEC("xdp")
int xdp_forward(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct iphdr *ip;
	struct way *way;
	__be32 dest;

	if (!take_eth(&c, &eth) || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (!take_ipv4(&c, &ip) || !may_forward(ip))
		return XDP_PASS;
	dest = ip->daddr;
	way = bpf_map_lookup_elem(&static_routes, &dest);
	if (!way)
		return XDP_PASS;
	age_ipv4(ip);
	__builtin_memcpy(eth->h_dest, way->dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, way->source, ETH_ALEN);
	count(ctx, way->ifindex);
	return bpf_redirect(way->ifindex, 0);
}

SEC("xdp")
int xdp_forward_fib(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct bpf_fib_lookup fib = {};
	struct ipv6hdr *ip6 = NULL;
	struct iphdr *ip = NULL;
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(&c, &ip) || !may_forward(ip))
			return XDP_PASS;
		fib.family = AF_INET;
		fib.tos = ip->tos;
		fib.l4_protocol = ip->protocol;
		fib.tot_len = bpf_ntohs(ip->tot_len);
		fib.ipv4_src = ip->saddr;
		fib.ipv4_dst = ip->daddr;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(&c, &ip6) || ip6->hop_limit <= 1)
			return XDP_PASS;
		fib.family = AF_INET6;
		fib.l4_protocol = ip6->nexthdr;
		fib.tot_len = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
		__builtin_memcpy(fib.ipv6_src, &ip6->saddr, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &ip6->daddr, sizeof(fib.ipv6_dst));
	} else {
		return XDP_PASS;
	}
	fib.ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	if (ip)
		age_ipv4(ip);
	else if (ip6)
		ip6->hop_limit -= 1;
	__builtin_memcpy(eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib.smac, ETH_ALEN);
	count(ctx, fib.ifindex);
	return bpf_redirect(fib.ifindex, 0);
}

char _license[] SEC("license") = "Dual MIT/GPL";
