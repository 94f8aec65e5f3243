// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_redirect_cpu: spread packets over cores. Six programs, six ways of choosing the core.
 *
 * Maps: cores (CPUMAP, 64): by core, the length of its queue.
 *       chosen (ARRAY, 64 x u32): the cores to spread over, the first core_count[0] of them.
 *       core_count (ARRAY, 1 x u32).
 *       turn (PERCPU_ARRAY, 1 x u32): the next of `chosen`, for xdp_redirect_cpu_turns.
 *       received (PERCPU_ARRAY, 2 x u64): packets seen, packets without a core.
 * Helpers: bpf_map_lookup_elem, bpf_redirect_map.
 * Programs and what they choose by:
 *       xdp_redirect_cpu            the first of the chosen cores; the packet is not touched
 *       xdp_redirect_cpu_touch      the same, after reading the EtherType; MAC addresses that are equal are dropped
 *       xdp_redirect_cpu_turns      one after the other
 *       xdp_redirect_cpu_protocol   TCP the first, UDP the second, ICMP the third, all else the last but modulo count
 *       xdp_redirect_cpu_port       the same, and UDP to port 9 (discard) is dropped
 *       xdp_redirect_cpu_hash       a hash of the two addresses and the protocol, the same both ways
 * Expect: XDP_REDIRECT to the core's entry. XDP_ABORTED where that has none or none is chosen; it is counted.
 */
#include "parse.h"

#define MAX_CORES 64
#define DISCARD_PORT 9

enum { RECEIVED, NO_CORE, COUNTS };

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, MAX_CORES);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bpf_cpumap_val));
} cores SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CORES);
	__type(key, __u32);
	__type(value, __u32);
} chosen SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} core_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} turn SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} received SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *packets = bpf_map_lookup_elem(&received, &what);

	if (packets)
		*packets += 1;
}

static __always_inline int no_core(void)
{
	count(NO_CORE);
	return XDP_ABORTED;
}

static __always_inline __u32 how_many(void)
{
	__u32 zero = 0;
	__u32 *count = bpf_map_lookup_elem(&core_count, &zero);

	return count && *count <= MAX_CORES ? *count : 0;
}

/* To the core that stands at a place of the list. */
static __always_inline int send_to(__u32 place)
{
	__u32 *core = bpf_map_lookup_elem(&chosen, &place);
	long action;

	if (!core)
		return no_core();
	action = bpf_redirect_map(&cores, *core, 0);
	return action == XDP_REDIRECT ? XDP_REDIRECT : no_core();
}

/* The IP protocol behind up to two tags, or 0; the cursor stands behind the network header. */
static __always_inline __u8 protocol_of(struct cursor *c, __u32 *ends)
{
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct iphdr *ip;
	__u32 *words;
	__be16 proto;

	if (!take_eth(c, &eth))
		return 0;
	proto = skip_vlans(c, eth->h_proto);
	if (proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(c, &ip))
			return 0;
		*ends = ip->saddr + ip->daddr;
		return ip->frag_off & bpf_htons(IP_OFFSET) ? 0 : ip->protocol;
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(c, &ip6))
			return 0;
		words = (__u32 *)&ip6->saddr;
		*ends = words[0] + words[1] + words[2] + words[3] + words[4] + words[5] + words[6] + words[7];
		return ip6->nexthdr;
	}
	return 0;
}

static __always_inline __u32 place_of(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 0;
	case IPPROTO_UDP:
		return 1;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return 3;
	}
}

static __always_inline int to_itself(const struct ethhdr *eth)
{
	const __u16 *dest = (const void *)eth->h_dest;
	const __u16 *source = (const void *)eth->h_source;

	return dest[0] == source[0] && dest[1] == source[1] && dest[2] == source[2];
}

SEC("xdp")
int xdp_redirect_cpu(struct xdp_md *ctx)
{
	count(RECEIVED);
	return how_many() ? send_to(0) : no_core();
}

SEC("xdp")
int xdp_redirect_cpu_touch(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	count(RECEIVED);
	if (!take_eth(&c, &eth))
		return XDP_ABORTED;
	if (to_itself(eth))
		return XDP_DROP;
	return how_many() ? send_to(0) : no_core();
}

SEC("xdp")
int xdp_redirect_cpu_turns(struct xdp_md *ctx)
{
	__u32 zero = 0, place;
	__u32 *next = bpf_map_lookup_elem(&turn, &zero);
	__u32 cores = how_many();

	count(RECEIVED);
	if (!next || !cores)
		return no_core();
	place = *next;
	if (place >= cores)
		place = 0;
	*next = place + 1;
	return send_to(place);
}

SEC("xdp")
int xdp_redirect_cpu_protocol(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	__u32 cores = how_many();
	__u32 ends = 0;

	count(RECEIVED);
	if (!cores)
		return no_core();
	return send_to(place_of(protocol_of(&c, &ends)) % cores);
}

SEC("xdp")
int xdp_redirect_cpu_port(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	__u32 cores = how_many();
	struct udphdr *udp;
	__u8 protocol;
	__u32 ends = 0;

	count(RECEIVED);
	protocol = protocol_of(&c, &ends);
	if (protocol == IPPROTO_UDP && take_udp(&c, &udp) && udp->dest == bpf_htons(DISCARD_PORT))
		return XDP_DROP;
	if (!cores)
		return no_core();
	return send_to(place_of(protocol) % cores);
}

SEC("xdp")
int xdp_redirect_cpu_hash(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	__u32 cores = how_many();
	__u32 ends = 0;
	__u8 protocol;

	count(RECEIVED);
	protocol = protocol_of(&c, &ends);
	if (!cores)
		return no_core();
	return send_to(hash3(ends, protocol, 0) % cores);
}

char _license[] SEC("license") = "Dual MIT/GPL";
