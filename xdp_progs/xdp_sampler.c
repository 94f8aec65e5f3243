// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_sampler: drop by rule, and put a random sample of what was dropped into a ring, with the rule's number.
 *
 * Maps: samples (RINGBUF, 256 KiB): a struct sample for each.
 *       .data: one_in, how seldom a dropped packet is sampled (0: never, 1: always), may be changed at any time.
 *       .bss: dropped, packets dropped by rule number.
 * Helpers: bpf_get_prandom_u32, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_ringbuf_discard, bpf_xdp_load_bytes.
 * Expect: XDP_DROP for what enum rule names, else XDP_PASS; no packet changes. The first rule that matches counts.
 */
#include "parse.h"

#define SNAP 64

enum rule {
	NONE,
	CUT_SHORT, /* a header that does not fit the packet, or contradicts itself */
	LAND, /* from its own destination */
	FROM_GROUP, /* a source that is a multicast or broadcast address */
	NULL_SCAN, /* TCP without any flag */
	SYN_FIN, /* TCP that opens and closes at once */
	TINY_FRAGMENT, /* a first fragment too short for its TCP header */
	RULES
};

struct sample {
	__u32 rule;
	__u32 len;
	__u32 kept;
	__u8 bytes[SNAP];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} samples SEC(".maps");

__u32 one_in = 1;
__u64 dropped[RULES] = {};

static __always_inline enum rule judge(struct cursor *c)
{
	struct ethhdr *eth;
	struct tcphdr *tcp;
	struct iphdr *ip;

	if (!take_eth(c, &eth))
		return CUT_SHORT;
	if (skip_vlans(c, eth->h_proto) != bpf_htons(ETH_P_IP))
		return NONE;
	if (!take_ipv4(c, &ip))
		return CUT_SHORT;
	if (ip->saddr == ip->daddr)
		return LAND;
	if (bpf_ntohl(ip->saddr) >> 28 >= 14)
		return FROM_GROUP;
	if (ip->protocol != IPPROTO_TCP || (ip->frag_off & bpf_htons(IP_OFFSET)))
		return NONE;
	if (!take_tcp(c, &tcp))
		return ip->frag_off & bpf_htons(IP_FRAGMENT) ? TINY_FRAGMENT : CUT_SHORT;
	if (!(tcp->syn | tcp->ack | tcp->fin | tcp->rst | tcp->psh | tcp->urg))
		return NULL_SCAN;
	return tcp->syn && tcp->fin ? SYN_FIN : NONE;
}

static __always_inline void sample(struct xdp_md *ctx, enum rule rule)
{
	__u64 len = opaque((void *)(long)ctx->data_end - (void *)(long)ctx->data);
	struct sample *sample;
	__u64 kept = len;
	int i;

	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample)
		return;
	sample->rule = rule;
	sample->len = len;
	/* The ring's memory is as its last user left it. */
	for (i = 0; i < SNAP; i++)
		sample->bytes[i] = 0;
	if (kept > SNAP)
		kept = SNAP;
	sample->kept = kept;
	if (kept == 0 || bpf_xdp_load_bytes(ctx, 0, sample->bytes, kept)) {
		bpf_ringbuf_discard(sample, 0);
		return;
	}
	bpf_ringbuf_submit(sample, 0);
}

SEC("xdp")
int xdp_sampler(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	enum rule rule = judge(&c);
	__u32 every = one_in;

	if (rule == NONE || rule >= RULES)
		return XDP_PASS;
	__sync_fetch_and_add(&dropped[rule], 1);
	if (every && bpf_get_prandom_u32() % every == 0)
		sample(ctx, rule);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
