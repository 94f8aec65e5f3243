// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_tcpclassify: tell of TCP segments whose first line is HTTP/1.1, a request's or a response's.
 *
 * Maps: found (RINGBUF, 64 KiB): a struct sighting for each.
 * Helpers: bpf_xdp_load_bytes, bpf_strncmp, bpf_ringbuf_output.
 * Expect: XDP_PASS, the packet untouched. "HTTP/1.1" within the first WINDOW bytes of the payload of a TCP segment,
 * over IPv4 or IPv6 behind up to two VLAN tags, in one line (no newline before it), puts one record into the ring. A
 * record that finds the ring full is lost.
 */
#include "parse.h"

#define WINDOW 64
#define MARK "HTTP/1.1"
#define MARK_LEN (sizeof(MARK) - 1)

struct sighting {
	__be32 source[4]; /* IPv4 in the first word */
	__be32 dest[4];
	__be16 source_port;
	__be16 dest_port;
	__u16 payload_offset; /* of the payload in the frame */
	__u8 family; /* 4 or 6 */
	__u8 mark_offset; /* of the mark in the payload: 0 is a response */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} found SEC(".maps");

/* Walks to the payload of a TCP segment. Returns whether there is one. */
static __always_inline int to_payload(struct cursor *c, struct sighting *s)
{
	struct ethhdr *eth;
	struct ipv6hdr *ip6;
	struct tcphdr *tcp;
	struct iphdr *ip;
	__be16 proto;

	if (!take_eth(c, &eth))
		return 0;
	proto = skip_vlans(c, eth->h_proto);
	if (proto == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(c, &ip) || ip->protocol != IPPROTO_TCP || (ip->frag_off & bpf_htons(IP_OFFSET)))
			return 0;
		s->family = 4;
		s->source[0] = ip->saddr;
		s->dest[0] = ip->daddr;
	} else if (proto == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(c, &ip6) || ip6->nexthdr != IPPROTO_TCP)
			return 0;
		s->family = 6;
		__builtin_memcpy(s->source, &ip6->saddr, sizeof(s->source));
		__builtin_memcpy(s->dest, &ip6->daddr, sizeof(s->dest));
	} else {
		return 0;
	}
	if (!take_tcp(c, &tcp))
		return 0;
	s->source_port = tcp->source;
	s->dest_port = tcp->dest;
	return 1;
}

/* Where the mark begins, or -1. Bytes beyond the payload are zeros. */
static __always_inline int find_mark(const char *text)
{
	__u32 i;

#pragma clang loop unroll(disable)
	for (i = 0; i <= WINDOW - MARK_LEN; i++) {
		if (text[i] == '\n' || text[i] == '\0')
			return -1;
		if (text[i] == 'H' && bpf_strncmp(text + i, MARK_LEN, MARK) == 0)
			return i;
	}
	return -1;
}

SEC("xdp")
int xdp_tcpclassify(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct sighting s = {};
	char text[WINDOW] = {};
	__u64 offset, len;
	int at;

	if (!to_payload(&c, &s))
		return XDP_PASS;
	offset = c.pos - (void *)(long)ctx->data;
	len = opaque(c.end - c.pos);
	if (len < MARK_LEN)
		return XDP_PASS;
	if (len > sizeof(text))
		len = sizeof(text);
	if (bpf_xdp_load_bytes(ctx, offset, text, len))
		return XDP_PASS;
	at = find_mark(text);
	if (at < 0)
		return XDP_PASS;
	s.payload_offset = offset;
	s.mark_offset = at;
	bpf_ringbuf_output(&found, &s, sizeof(s), 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
