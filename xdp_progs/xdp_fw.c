// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_fw: a firewall between two ports. What is inside may speak to the outside; the outside may only answer.
 *
 * Maps: flows (HASH, 65536): the two ends of a flow, seen from inside -> packets out and in, and whether the flow
 *       is closing.
 *       ports (DEVMAP, 2): 0 the port to the outside, 1 the port to the inside.
 *       .rodata: inside_ifindex and outside_ifindex, which ports packets come in on.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_map_delete_elem, bpf_redirect_map.
 * Expect: TCP and UDP over IPv4 and IPv6, without VLAN tags, are followed.
 *  - From inside: the packet makes or counts its flow and is XDP_REDIRECT to the outside. Where the map of flows is
 *    full, a new flow is XDP_DROP.
 *  - From outside: XDP_REDIRECT to the inside if its flow is known, else XDP_DROP.
 *  - A TCP packet with RST ends its flow at once; FIN from both sides ends it.
 *  - Fragments but the first have no ports and are XDP_DROP; so is a header cut short or malformed.
 *  - ARP and IPv6 neighbour messages (ICMPv6 133 to 137) pass between the ports both ways. Everything else, and
 *    packets of other ports, are XDP_DROP.
 *  - A port that is not in `ports` makes a packet for it XDP_DROP.
 */
#include "parse.h"

enum { OUTSIDE, INSIDE };

#define FIN_INSIDE 1
#define FIN_OUTSIDE 2
#define FIN_BOTH (FIN_INSIDE | FIN_OUTSIDE)

#define ND_FIRST 133
#define ND_LAST 137

struct flow_key {
	__be32 inside[4];
	__be32 outside[4];
	__be16 inside_port;
	__be16 outside_port;
	__u8 family;
	__u8 protocol;
	__u16 unused;
};

struct flow {
	__u64 out;
	__u64 in;
	__u32 fins;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ports SEC(".maps");

const volatile __u32 inside_ifindex = 1;
const volatile __u32 outside_ifindex = 2;

/* What a packet's headers say of its flow; the ends as the packet has them. */
struct seen {
	__be32 source[4];
	__be32 dest[4];
	__be16 source_port;
	__be16 dest_port;
	__u8 family;
	__u8 protocol;
	__u8 rst;
	__u8 fin;
};

enum kind { FOLLOWED, NEIGHBOUR, OTHER };

static __always_inline enum kind read_transport(struct cursor *c, struct seen *seen)
{
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (seen->protocol == IPPROTO_TCP) {
		if (!take_tcp(c, &tcp))
			return OTHER;
		seen->source_port = tcp->source;
		seen->dest_port = tcp->dest;
		seen->rst = tcp->rst;
		seen->fin = tcp->fin;
		return FOLLOWED;
	}
	if (seen->protocol == IPPROTO_UDP) {
		if (!take_udp(c, &udp))
			return OTHER;
		seen->source_port = udp->source;
		seen->dest_port = udp->dest;
		return FOLLOWED;
	}
	return OTHER;
}

static __always_inline enum kind read_headers(struct cursor *c, struct seen *seen)
{
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__u8 *type;

	if (!take_eth(c, &eth))
		return OTHER;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return NEIGHBOUR;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(c, &ip) || (ip->frag_off & bpf_htons(IP_OFFSET)))
			return OTHER;
		seen->family = 4;
		seen->protocol = ip->protocol;
		seen->source[0] = ip->saddr;
		seen->dest[0] = ip->daddr;
		return read_transport(c, seen);
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(c, &ip6))
			return OTHER;
		type = c->pos;
		if (ip6->nexthdr == IPPROTO_ICMPV6 && (void *)(type + 1) <= c->end && *type >= ND_FIRST &&
		    *type <= ND_LAST)
			return NEIGHBOUR;
		seen->family = 6;
		seen->protocol = ip6->nexthdr;
		__builtin_memcpy(seen->source, &ip6->saddr, sizeof(seen->source));
		__builtin_memcpy(seen->dest, &ip6->daddr, sizeof(seen->dest));
		return read_transport(c, seen);
	}
	return OTHER;
}

/* Takes the packet into its flow's account. Returns whether it may go on. */
static __always_inline int follow(const struct seen *seen, int from_inside)
{
	struct flow fresh = { .out = 1 };
	struct flow_key key = { .family = seen->family, .protocol = seen->protocol };
	struct flow *flow;
	__u32 fins;

	__builtin_memcpy(key.inside, from_inside ? seen->source : seen->dest, sizeof(key.inside));
	__builtin_memcpy(key.outside, from_inside ? seen->dest : seen->source, sizeof(key.outside));
	key.inside_port = from_inside ? seen->source_port : seen->dest_port;
	key.outside_port = from_inside ? seen->dest_port : seen->source_port;

	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		if (!from_inside)
			return 0;
		/* A flow that begins with its end is let through and leaves nothing behind. */
		if (seen->rst)
			return 1;
		fresh.fins = seen->fin ? FIN_INSIDE : 0;
		return bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY) == 0;
	}
	__sync_fetch_and_add(from_inside ? &flow->out : &flow->in, 1);
	if (seen->fin)
		flow->fins |= from_inside ? FIN_INSIDE : FIN_OUTSIDE;
	fins = flow->fins;
	if (seen->rst || fins == FIN_BOTH)
		bpf_map_delete_elem(&flows, &key);
	return 1;
}

SEC("xdp")
int xdp_fw(struct xdp_md *ctx)
{
	int from_inside = ctx->ingress_ifindex == inside_ifindex;
	struct cursor c = cursor_of(ctx);
	struct seen seen = {};
	enum kind kind;

	if (!from_inside && ctx->ingress_ifindex != outside_ifindex)
		return XDP_DROP;
	kind = read_headers(&c, &seen);
	if (kind == OTHER)
		return XDP_DROP;
	if (kind == FOLLOWED && !follow(&seen, from_inside))
		return XDP_DROP;
	return bpf_redirect_map(&ports, from_inside ? OUTSIDE : INSIDE, XDP_DROP);
}

char _license[] SEC("license") = "Dual MIT/GPL";
