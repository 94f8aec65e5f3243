// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_adjust_tail: answer packets that are too long with ICMP "fragmentation needed".
 *
 * Maps: answered (ARRAY, 1 x u64): answers sent.
 *       .data: max_len, the longest frame that passes, may be changed while the program runs.
 *       .rodata: answer_ttl, the TTL of answers, and answer_from, their source address as it stands in a packet
 *       (0: the address that the packet was sent to), may be set before loading.
 * Helpers: bpf_map_lookup_elem, bpf_xdp_adjust_tail, bpf_xdp_adjust_head, bpf_csum_diff.
 * Expect: an untagged IPv4 packet in a frame longer than max_len is XDP_TX as an answer to its sender: the frame is
 * really shortened to ANSWER_LEN bytes, an ICMP message (type 3, code 4, MTU max_len - 14) that quotes the first
 * QUOTE bytes of the packet. No answer is given to ICMP errors, to fragments but the first, and to senders that
 * are no single host (RFC 1122, 3.2.2): these and everything else are XDP_PASS, untouched. A frame that was
 * shortened and cannot be made into an answer is XDP_DROP.
 */
#include "parse.h"

#define QUOTE 68 /* an IPv4 header with all options, and eight bytes */
#define ANSWER_LEN (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct icmp_unreachable) + QUOTE)

#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define ICMP_TIMESTAMP 13

struct icmp_unreachable {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 unused;
	__be16 mtu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} answered SEC(".maps");

__u32 max_len = 600;
const volatile __u8 answer_ttl = 64;
const volatile __be32 answer_from = 0;

static __always_inline void count(void)
{
	__u32 zero = 0;
	__u64 *answers = bpf_map_lookup_elem(&answered, &zero);

	if (answers)
		__sync_fetch_and_add(answers, 1);
}

/* Whether an ICMP error may be sent about this packet. */
static __always_inline int may_answer(const struct iphdr *ip, const __u8 *payload, void *end)
{
	__u32 source = bpf_ntohl(ip->saddr);

	if (ip->frag_off & bpf_htons(IP_OFFSET))
		return 0;
	/* 0/8, 127/8, multicast and above name no single host. */
	if (source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14)
		return 0;
	if (ip->protocol != IPPROTO_ICMP)
		return 1;
	if ((void *)(payload + 1) > end)
		return 0;
	return *payload == ICMP_ECHO || *payload == ICMP_ECHOREPLY || *payload == ICMP_TIMESTAMP;
}

/* Shortens the frame to its quoted part, makes room before it and writes the answer's headers there. */
static __always_inline int answer(struct xdp_md *ctx, __u16 mtu)
{
	int grown = sizeof(struct iphdr) + sizeof(struct icmp_unreachable);
	int len = ctx->data_end - ctx->data;
	struct icmp_unreachable *icmp;
	struct ethhdr *eth, *old;
	struct iphdr *ip, *quoted;
	struct cursor c;

	if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(*eth) + QUOTE) - len))
		return XDP_DROP;
	if (bpf_xdp_adjust_head(ctx, -grown))
		return XDP_DROP;

	c = cursor_of(ctx);
	eth = c.pos;
	if (c.pos + ANSWER_LEN > c.end)
		return XDP_DROP;
	old = c.pos + grown;
	__builtin_memcpy(eth->h_dest, old->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, old->h_dest, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);

	ip = (void *)(eth + 1);
	icmp = (void *)(ip + 1);
	quoted = (void *)(icmp + 1);
	icmp->type = ICMP_DEST_UNREACH;
	icmp->code = ICMP_FRAG_NEEDED;
	icmp->checksum = 0;
	icmp->unused = 0;
	icmp->mtu = bpf_htons(mtu);
	icmp->checksum = ~csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)icmp, sizeof(*icmp) + QUOTE, 0));

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*icmp) + QUOTE);
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = answer_ttl;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = answer_from ? answer_from : quoted->daddr;
	ip->daddr = quoted->saddr;
	ip->check = ipv4_csum(ip);
	count();
	return XDP_TX;
}

SEC("xdp")
int xdp_adjust_tail(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	__u32 longest = max_len;
	struct ethhdr *eth;
	struct iphdr *ip;

	/* An answer is shorter than what it is about, and its MTU is one that IPv4 allows. */
	if (longest < ANSWER_LEN || longest > 0xffff)
		longest = ANSWER_LEN;
	if (c.end - c.pos <= longest)
		return XDP_PASS;
	if (!take_eth(&c, &eth) || eth->h_proto != bpf_htons(ETH_P_IP) || !take_ipv4(&c, &ip))
		return XDP_PASS;
	if (!may_answer(ip, c.pos, c.end))
		return XDP_PASS;
	return answer(ctx, longest - sizeof(*eth));
}

char _license[] SEC("license") = "Dual MIT/GPL";
