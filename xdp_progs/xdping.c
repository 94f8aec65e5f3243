// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdping: answer ICMP echo requests in the driver, and count them by who asks.
 *
 * Maps: pings (HASH, 8 entries): source IPv4 address, as it stands in the packet -> u64 answered requests.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_csum_diff, bpf_trace_printk (once for each new
 * source).
 * Expect: an ICMP echo request in an untagged, unfragmented IPv4 packet is XDP_TX, with MAC and IPv4
 * addresses exchanged, the type made "echo reply" and the ICMP checksum adjusted. Everything else is
 * XDP_PASS, untouched. A source that finds the map full is answered but not counted.
 */
#include "parse.h"

#define ICMP_ECHO 8
#define ICMP_ECHOREPLY 0

/* The ICMP echo header; <linux/icmp.h> would pull in the C library's headers, which do not know the bpf target. */
struct icmp_echo {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 id;
	__be16 sequence;
};

/* "More fragments" and the offset. */
#define IS_FRAGMENT 0x3fff

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __be32);
	__type(value, __u64);
} pings SEC(".maps");

static __always_inline void count(__be32 source)
{
	__u64 *answered = bpf_map_lookup_elem(&pings, &source);
	__u64 one = 1;

	if (answered) {
		__sync_fetch_and_add(answered, 1);
		return;
	}
	bpf_printk("xdping: first request from %x", bpf_ntohl(source));
	bpf_map_update_elem(&pings, &source, &one, BPF_ANY);
}

/* Turns the request into a reply. The checksum changes by the difference of the word that holds type and code. */
static __always_inline void reply(struct icmp_echo *icmp)
{
	__be32 before = 0, after = 0;

	__builtin_memcpy(&before, icmp, 2);
	icmp->type = ICMP_ECHOREPLY;
	__builtin_memcpy(&after, icmp, 2);
	icmp->checksum = ~csum_fold(bpf_csum_diff(&before, sizeof(before), &after, sizeof(after),
						  (__u16)~icmp->checksum));
}

SEC("xdp")
int xdping(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct icmp_echo *icmp;
	struct iphdr *ip;
	__be32 source;

	if (!take_eth(&c, &eth) || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (!take_ipv4(&c, &ip) || ip->protocol != IPPROTO_ICMP || (ip->frag_off & bpf_htons(IS_FRAGMENT)))
		return XDP_PASS;
	icmp = c.pos;
	if ((void *)(icmp + 1) > c.end || icmp->type != ICMP_ECHO || icmp->code != 0)
		return XDP_PASS;

	source = ip->saddr;
	swap_macs(eth);
	ip->saddr = ip->daddr;
	ip->daddr = source;
	reply(icmp);
	count(source);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
