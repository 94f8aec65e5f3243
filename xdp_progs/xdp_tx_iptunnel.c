// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_tx_iptunnel: send packets to a virtual address on through a tunnel, IPv4 in IPv4 and IPv6 in IPv6.
 *
 * Maps: tunnels (HASH, 256): address, port, family and protocol of a virtual service -> the tunnel's ends and the
 *       next hop's MAC address. Addresses and ports stand as in a packet; port 0 is every port of the address.
 *       sent (PERCPU_ARRAY, 256 x u64): packets put into a tunnel, by inner protocol.
 * Helpers: bpf_map_lookup_elem, bpf_xdp_adjust_head.
 * Expect: an untagged TCP or UDP packet to a virtual service is XDP_TX, with an IPv4 header (protocol 4) or an IPv6
 * header (next header 41) before it, the TTL 64, the destination MAC address the next hop's and the source MAC
 * address the one that the packet was sent to. Fragments but the first have no ports: only an entry for every port
 * matches them. What is not for a service is XDP_PASS, untouched; a header cut short or malformed is XDP_DROP, and
 * so is a packet without room for the new header.
 */
#include "parse.h"

#define TUNNEL_TTL 64

struct service {
	union {
		__be32 v6[4];
		__be32 v4;
	} address;
	__be16 port;
	__u8 family; /* 4 or 6 */
	__u8 protocol;
};

struct tunnel {
	union {
		__be32 v6[4];
		__be32 v4;
	} source, dest;
	__u8 next_hop[ETH_ALEN];
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct service);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} sent SEC(".maps");

static __always_inline void count(__u32 protocol)
{
	__u64 *packets = bpf_map_lookup_elem(&sent, &protocol);

	if (packets)
		*packets += 1;
}

/* The service's own tunnel, or the one for every port of its address. */
static __always_inline struct tunnel *tunnel_of(struct service *service)
{
	struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, service);

	if (tunnel || service->port == 0)
		return tunnel;
	service->port = 0;
	return bpf_map_lookup_elem(&tunnels, service);
}

/*
 * Moves the Ethernet header `grown` bytes to the front, with the tunnel's addresses. Returns where the new header
 * goes, or NULL.
 */
static __always_inline void *make_room(struct xdp_md *ctx, int grown, const struct tunnel *tunnel, __be16 proto)
{
	struct ethhdr *eth, *old;
	struct cursor c;

	if (bpf_xdp_adjust_head(ctx, -grown))
		return NULL;
	c = cursor_of(ctx);
	if (c.pos + grown + sizeof(*eth) > c.end)
		return NULL;
	eth = c.pos;
	old = c.pos + grown;
	__builtin_memcpy(eth->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, tunnel->next_hop, ETH_ALEN);
	eth->h_proto = proto;
	return eth + 1;
}

static __always_inline int tunnel_ipv4(struct xdp_md *ctx, struct cursor *c)
{
	struct service service = { .family = 4 };
	struct tunnel *tunnel;
	struct iphdr *ip, *outer;
	struct ports *ports;
	__u16 inner_len;
	__u8 tos;

	if (!take_ipv4(c, &ip))
		return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	service.address.v4 = ip->daddr;
	service.protocol = ip->protocol;
	if (!(ip->frag_off & bpf_htons(IP_OFFSET))) {
		if (!take_ports(c, &ports))
			return XDP_DROP;
		service.port = ports->dest;
	}
	tunnel = tunnel_of(&service);
	if (!tunnel)
		return XDP_PASS;

	inner_len = bpf_ntohs(ip->tot_len);
	tos = ip->tos;
	outer = make_room(ctx, sizeof(*outer), tunnel, bpf_htons(ETH_P_IP));
	if (!outer)
		return XDP_DROP;
	outer->version = 4;
	outer->ihl = sizeof(*outer) / 4;
	outer->tos = tos;
	outer->tot_len = bpf_htons(inner_len + sizeof(*outer));
	outer->id = 0;
	outer->frag_off = 0;
	outer->ttl = TUNNEL_TTL;
	outer->protocol = IPPROTO_IPIP;
	outer->saddr = tunnel->source.v4;
	outer->daddr = tunnel->dest.v4;
	outer->check = ipv4_csum(outer);
	count(service.protocol);
	return XDP_TX;
}

static __always_inline int tunnel_ipv6(struct xdp_md *ctx, struct cursor *c)
{
	struct service service = { .family = 6 };
	struct ipv6hdr *ip, *outer;
	struct tunnel *tunnel;
	struct ports *ports;
	__be32 first_word;
	__u16 inner_len;

	if (!take_ipv6(c, &ip))
		return XDP_DROP;
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP)
		return XDP_PASS;
	if (!take_ports(c, &ports))
		return XDP_DROP;
	__builtin_memcpy(service.address.v6, &ip->daddr, sizeof(service.address.v6));
	service.protocol = ip->nexthdr;
	service.port = ports->dest;
	tunnel = tunnel_of(&service);
	if (!tunnel)
		return XDP_PASS;

	/* Version, traffic class and flow label are the inner packet's. */
	__builtin_memcpy(&first_word, ip, sizeof(first_word));
	inner_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	outer = make_room(ctx, sizeof(*outer), tunnel, bpf_htons(ETH_P_IPV6));
	if (!outer)
		return XDP_DROP;
	__builtin_memcpy(outer, &first_word, sizeof(first_word));
	outer->payload_len = bpf_htons(inner_len);
	outer->nexthdr = IPPROTO_IPV6;
	outer->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&outer->saddr, tunnel->source.v6, sizeof(outer->saddr));
	__builtin_memcpy(&outer->daddr, tunnel->dest.v6, sizeof(outer->daddr));
	count(service.protocol);
	return XDP_TX;
}

SEC("xdp")
int xdp_tx_iptunnel(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return tunnel_ipv4(ctx, &c);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return tunnel_ipv6(ctx, &c);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
