// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_ddos_blacklist: drop packets of blacklisted sources and to blacklisted ports, and count them.
 *
 * Maps: blacklist (PERCPU_HASH, 100000): IPv4 source address -> packets dropped.
 *       verdicts (PERCPU_ARRAY, 4 x u64): packets by action, XDP_ABORTED to XDP_TX.
 *       ports (PERCPU_ARRAY, 65536 x u32): by destination port in host order, which protocols are blacklisted:
 *       bit 0 TCP, bit 1 UDP.
 *       dropped_tcp, dropped_udp (PERCPU_ARRAY, 65536 x u64): packets dropped by port; which of the two is looked
 *       into is decided at run time, by one lookup.
 * Helpers: bpf_map_lookup_elem.
 * Expect: XDP_PASS or XDP_DROP, no packet changes; each packet is in `verdicts`. IPv4 behind up to two VLAN tags is
 * looked at. What is not IPv4 passes; a header cut short or malformed is XDP_ABORTED, which drops.
 */
#include "parse.h"

#define TCP_BIT 1
#define UDP_BIT 2
#define PORTS 65536

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 100000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u64);
} blacklist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDP_TX + 1);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u64);
} dropped_tcp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u64);
} dropped_udp SEC(".maps");

static __always_inline __u32 check_port(struct cursor *c, __u8 protocol)
{
	__u32 bit = protocol == IPPROTO_TCP ? TCP_BIT : UDP_BIT;
	void *counters;
	struct ports *at;
	__u64 *dropped;
	__u32 *listed;
	__u32 port;

	if (!take_ports(c, &at))
		return XDP_ABORTED;
	port = bpf_ntohs(at->dest);
	listed = bpf_map_lookup_elem(&ports, &port);
	if (!listed || !(*listed & bit))
		return XDP_PASS;
	counters = protocol == IPPROTO_TCP ? (void *)&dropped_tcp : (void *)&dropped_udp;
	dropped = bpf_map_lookup_elem(counters, &port);
	if (dropped)
		*dropped += 1;
	return XDP_DROP;
}

static __always_inline __u32 decide(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct iphdr *ip;
	__u64 *dropped;
	__be32 source;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return XDP_ABORTED;
	proto = skip_vlans(&c, eth->h_proto);
	if (proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (!take_ipv4(&c, &ip))
		return XDP_ABORTED;
	source = ip->saddr;
	dropped = bpf_map_lookup_elem(&blacklist, &source);
	if (dropped) {
		*dropped += 1;
		return XDP_DROP;
	}
	if (ip->frag_off & bpf_htons(IP_OFFSET))
		return XDP_PASS;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)
		return check_port(&c, ip->protocol);
	return XDP_PASS;
}

SEC("xdp")
int xdp_ddos_blacklist(struct xdp_md *ctx)
{
	__u32 verdict = decide(ctx);
	__u64 *packets = bpf_map_lookup_elem(&verdicts, &verdict);

	if (packets)
		*packets += 1;
	return verdict;
}

char _license[] SEC("license") = "Dual MIT/GPL";
