// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_csum: check the IPv4 header checksum, thirty-two times over, and count packets by protocol.
 *
 * Maps: protocols (PERCPU_ARRAY, 256 x u64): index is the IPv4 protocol number, value the packets seen.
 * Helpers: bpf_map_lookup_elem, bpf_csum_diff.
 * Expect: for IPv4 behind up to two VLAN tags, with a header without options: the protocol's counter is one
 * higher, and the packet is XDP_PASS if the header's ones-complement sum is right, else XDP_DROP. The header
 * is summed 32 times into one sum: 32 is prime to 65535, so this is zero exactly when a single one is. Other
 * packets are XDP_PASS and are not counted. No packet changes.
 */
#include "parse.h"

#define ROUNDS 32

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

SEC("xdp")
int xdp_csum(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct iphdr *ip;
	__u64 *packets;
	__u32 protocol;
	__s64 sum = 0;
	int i;

	if (!take_eth(&c, &eth) || skip_vlans(&c, eth->h_proto) != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	ip = c.pos;
	if ((void *)(ip + 1) > c.end || ip->version != 4 || ip->ihl != 5)
		return XDP_PASS;

	protocol = ip->protocol;
	packets = bpf_map_lookup_elem(&protocols, &protocol);
	if (packets)
		*packets += 1;

#pragma clang loop unroll(disable)
	for (i = 0; i < ROUNDS; i++)
		sum = bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), sum);
	return csum_fold(sum) == 0xffff ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
