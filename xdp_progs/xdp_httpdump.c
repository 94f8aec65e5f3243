// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_httpdump: copy the beginning of HTTP/1.1 messages into a ring, for a reader that shows them.
 *
 * Maps: messages (RINGBUF, 256 KiB): for each, a struct message, cut behind the last payload byte that it holds.
 *       .data: port, in host order: if not 0, only segments from or to it are looked at.
 * Helpers: bpf_xdp_load_bytes, bpf_strncmp, bpf_ringbuf_output.
 * Expect: XDP_PASS, the packet untouched. A TCP segment over IPv4 behind up to two VLAN tags whose payload begins with
 * "HTTP/1.1" or with one of the methods GET, HEAD, POST, PUT, DELETE, OPTIONS and PATCH puts one record into the ring,
 * with at most SNAP bytes of payload. A record that finds the ring full is lost.
 */
#include "parse.h"

#define SNAP 256

struct message {
	__be32 source;
	__be32 dest;
	__be16 source_port;
	__be16 dest_port;
	__be32 sequence;
	__u16 payload_len; /* in the segment */
	__u16 kept; /* of it in this record */
	char payload[SNAP];
};

#define MESSAGE_HEAD __builtin_offsetof(struct message, payload)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} messages SEC(".maps");

__u16 port = 0;

#define BEGINS_WITH(text, word) (bpf_strncmp(text, sizeof(word) - 1, word) == 0)

static __always_inline int is_http(const char *text)
{
	return BEGINS_WITH(text, "HTTP/1.1") || BEGINS_WITH(text, "GET ") || BEGINS_WITH(text, "HEAD ") ||
	       BEGINS_WITH(text, "POST ") || BEGINS_WITH(text, "PUT ") || BEGINS_WITH(text, "DELETE ") ||
	       BEGINS_WITH(text, "OPTIONS ") || BEGINS_WITH(text, "PATCH ");
}

SEC("xdp")
int xdp_httpdump(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct message m = {};
	__u64 offset, len, end;
	__u16 wanted = port;
	struct ethhdr *eth;
	struct tcphdr *tcp;
	struct iphdr *ip;
	void *packet_end;

	if (!take_eth(&c, &eth) || skip_vlans(&c, eth->h_proto) != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	packet_end = c.pos;
	if (!take_ipv4(&c, &ip) || ip->protocol != IPPROTO_TCP || (ip->frag_off & bpf_htons(IP_OFFSET)))
		return XDP_PASS;
	if (!take_tcp(&c, &tcp))
		return XDP_PASS;
	if (wanted && bpf_ntohs(tcp->source) != wanted && bpf_ntohs(tcp->dest) != wanted)
		return XDP_PASS;

	/* The payload ends with the IPv4 packet, not with the frame, which may be padded. */
	offset = c.pos - (void *)(long)ctx->data;
	end = packet_end - (void *)(long)ctx->data + bpf_ntohs(ip->tot_len);
	if (end > c.end - (void *)(long)ctx->data)
		end = c.end - (void *)(long)ctx->data;
	if (end <= offset)
		return XDP_PASS;
	len = opaque(end - offset);
	m.payload_len = len;
	if (len == 0)
		return XDP_PASS;
	if (len > SNAP)
		len = SNAP;
	if (bpf_xdp_load_bytes(ctx, offset, m.payload, len) || !is_http(m.payload))
		return XDP_PASS;
	m.source = ip->saddr;
	m.dest = ip->daddr;
	m.source_port = tcp->source;
	m.dest_port = tcp->dest;
	m.sequence = tcp->seq;
	m.kept = len;
	bpf_ringbuf_output(&messages, &m, MESSAGE_HEAD + len, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
