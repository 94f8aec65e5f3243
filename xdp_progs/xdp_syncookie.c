// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_syncookie: answer TCP's opening with cookies, so that only clients that really exist reach the server.
 *
 * Maps: ports (ARRAY, 8 x u16): protected destination ports in host order; the list ends at the first 0.
 *       verified (HASH, 65536): a client's address and port, and the server's port -> packets let through since.
 *       counts (ARRAY, 6 x u64): by enum what.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_map_delete_elem, bpf_xdp_load_bytes, bpf_xdp_adjust_tail,
 *       bpf_csum_diff, bpf_tcp_raw_gen_syncookie_ipv4 and _ipv6, bpf_tcp_raw_check_syncookie_ipv4 and _ipv6.
 * Expect: of untagged TCP over IPv4 without options and IPv6 without extension headers, to a protected port:
 *  - SYN: XDP_TX, the packet made a SYN-ACK whose sequence number is the cookie, with an MSS option and no other.
 *  - ACK of a client that is not verified: its cookie is checked. A right one makes it verified and is XDP_PASS, with the
 *    server still to be told; a wrong one is XDP_DROP.
 *  - Packets of a verified client are XDP_PASS; RST ends that. Where the map is full, new clients are XDP_DROP.
 *  - Everything else to such a port, and a header cut short, is XDP_DROP. Other packets are XDP_PASS, untouched.
 */
#include "parse.h"

#define MAX_PORTS 8
#define TCP_MAX 60
#define REPLY_TCP_LEN 24 /* with the MSS option */
#define REPLY_WINDOW 65535
#define REPLY_TTL 64
#define MSS_OPTION 0x02040000

enum what { COOKIES_SENT, VERIFIED, WRONG_COOKIES, LET_THROUGH, REFUSED, MAP_FULL, WHATS };

struct client {
	__be32 address[4];
	__be16 port;
	__be16 server_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_PORTS);
	__type(key, __u32);
	__type(value, __u16);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct client);
	__type(value, __u64);
} verified SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WHATS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline int finish(__u32 what, int action)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
	return action;
}

static __always_inline int is_protected(__u16 port)
{
	__u32 i, at;
	__u16 *one;

	for (i = 0; i < MAX_PORTS; i++) {
		at = i;
		one = bpf_map_lookup_elem(&ports, &at);
		if (!one || !*one)
			return 0;
		if (*one == port)
			return 1;
	}
	return 0;
}

/* The sum of the pseudo header, not folded. */
static __always_inline __u64 pseudo_sum(const void *addresses, __u32 size, __u32 len)
{
	return bpf_csum_diff(NULL, 0, (__be32 *)addresses, size, bpf_htonl(len + IPPROTO_TCP));
}

/* Makes the opened segment at `tcp` the answer to itself; `sum` is that of its pseudo header. */
static __always_inline void write_reply(struct tcphdr *tcp, __u64 cookie, __u64 sum)
{
	__be32 *option = (void *)(tcp + 1);
	__be32 asked = tcp->seq;
	__be16 port = tcp->source;

	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->seq = bpf_htonl((__u32)cookie);
	tcp->ack_seq = bpf_htonl(bpf_ntohl(asked) + 1);
	((__u16 *)tcp)[6] = 0;
	tcp->doff = REPLY_TCP_LEN / 4;
	tcp->syn = 1;
	tcp->ack = 1;
	tcp->window = bpf_htons(REPLY_WINDOW);
	tcp->check = 0;
	tcp->urg_ptr = 0;
	*option = bpf_htonl(MSS_OPTION | (__u16)(cookie >> 32));
	tcp->check = ~csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)tcp, REPLY_TCP_LEN, sum));
}

static __always_inline int reply_ipv4(struct xdp_md *ctx, __u64 cookie)
{
	int len = sizeof(struct ethhdr) + sizeof(struct iphdr) + REPLY_TCP_LEN;
	int old = ctx->data_end - ctx->data;
	struct ethhdr *eth;
	struct tcphdr *tcp;
	struct iphdr *ip;
	struct cursor c;
	__be32 source;

	if (bpf_xdp_adjust_tail(ctx, len - old))
		return finish(REFUSED, XDP_DROP);
	c = cursor_of(ctx);
	if (c.pos + len > c.end)
		return finish(REFUSED, XDP_DROP);
	eth = c.pos;
	ip = (void *)(eth + 1);
	tcp = (void *)(ip + 1);
	swap_macs(eth);
	source = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + REPLY_TCP_LEN);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = REPLY_TTL;
	ip->check = ipv4_csum(ip);
	write_reply(tcp, cookie, pseudo_sum(&ip->saddr, 8, REPLY_TCP_LEN));
	return finish(COOKIES_SENT, XDP_TX);
}

static __always_inline int reply_ipv6(struct xdp_md *ctx, __u64 cookie)
{
	int len = sizeof(struct ethhdr) + sizeof(struct ipv6hdr) + REPLY_TCP_LEN;
	int old = ctx->data_end - ctx->data;
	struct in6_addr source;
	struct ipv6hdr *ip;
	struct ethhdr *eth;
	struct tcphdr *tcp;
	struct cursor c;

	if (bpf_xdp_adjust_tail(ctx, len - old))
		return finish(REFUSED, XDP_DROP);
	c = cursor_of(ctx);
	if (c.pos + len > c.end)
		return finish(REFUSED, XDP_DROP);
	eth = c.pos;
	ip = (void *)(eth + 1);
	tcp = (void *)(ip + 1);
	swap_macs(eth);
	source = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->payload_len = bpf_htons(REPLY_TCP_LEN);
	ip->hop_limit = REPLY_TTL;
	write_reply(tcp, cookie, pseudo_sum(&ip->saddr, 32, REPLY_TCP_LEN));
	return finish(COOKIES_SENT, XDP_TX);
}

/* What is asked of the segment's flags, once its client is known not to be verified. */
enum request { OPENS, ACKNOWLEDGES, NEITHER };

static __always_inline enum request request_of(const struct tcphdr *tcp)
{
	if (tcp->rst || tcp->fin)
		return NEITHER;
	if (tcp->syn)
		return tcp->ack ? NEITHER : OPENS;
	return tcp->ack ? ACKNOWLEDGES : NEITHER;
}

/* Whether the client was verified before; a reset forgets it. */
static __always_inline int is_verified(struct client *client, const struct tcphdr *tcp)
{
	__u64 *packets = bpf_map_lookup_elem(&verified, client);

	if (!packets)
		return 0;
	__sync_fetch_and_add(packets, 1);
	if (tcp->rst)
		bpf_map_delete_elem(&verified, client);
	return 1;
}

static __always_inline int admit(struct client *client)
{
	__u64 none = 0;

	if (bpf_map_update_elem(&verified, client, &none, BPF_ANY))
		return finish(MAP_FULL, XDP_DROP);
	return finish(VERIFIED, XDP_PASS);
}

/* Copies the TCP header with its options, which the helpers want in one piece. Returns its length, or 0. */
static __always_inline __u64 copy_tcp(struct xdp_md *ctx, const struct tcphdr *tcp, __u8 *copy)
{
	__u64 offset = (void *)tcp - (void *)(long)ctx->data;
	__u64 len = opaque(tcp->doff * 4);

	if (len < sizeof(*tcp) || len > TCP_MAX)
		return 0;
	if (bpf_xdp_load_bytes(ctx, offset, copy, len))
		return 0;
	return len;
}

static __always_inline int over_ipv4(struct xdp_md *ctx, struct cursor *c)
{
	struct client client = {};
	__u8 copy[TCP_MAX] = {};
	struct tcphdr *tcp;
	struct iphdr *ip;
	__s64 cookie;
	__u64 len;

	if (!take_ipv4(c, &ip))
		return XDP_DROP;
	if (ip->protocol != IPPROTO_TCP || ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_FRAGMENT)))
		return XDP_PASS;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > c->end)
		return finish(REFUSED, XDP_DROP);
	if (!is_protected(bpf_ntohs(tcp->dest)))
		return XDP_PASS;
	client.address[0] = ip->saddr;
	client.port = tcp->source;
	client.server_port = tcp->dest;
	if (is_verified(&client, tcp))
		return finish(LET_THROUGH, XDP_PASS);
	switch (request_of(tcp)) {
	case OPENS:
		len = copy_tcp(ctx, tcp, copy);
		if (len < sizeof(*tcp) || len > TCP_MAX)
			return finish(REFUSED, XDP_DROP);
		cookie = bpf_tcp_raw_gen_syncookie_ipv4(ip, (void *)copy, len);
		return cookie < 0 ? finish(REFUSED, XDP_DROP) : reply_ipv4(ctx, cookie);
	case ACKNOWLEDGES:
		if (bpf_tcp_raw_check_syncookie_ipv4(ip, tcp))
			return finish(WRONG_COOKIES, XDP_DROP);
		return admit(&client);
	default:
		return finish(REFUSED, XDP_DROP);
	}
}

static __always_inline int over_ipv6(struct xdp_md *ctx, struct cursor *c)
{
	struct client client = {};
	__u8 copy[TCP_MAX] = {};
	struct ipv6hdr *ip;
	struct tcphdr *tcp;
	__s64 cookie;
	__u64 len;

	if (!take_ipv6(c, &ip))
		return XDP_DROP;
	if (ip->nexthdr != IPPROTO_TCP)
		return XDP_PASS;
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > c->end)
		return finish(REFUSED, XDP_DROP);
	if (!is_protected(bpf_ntohs(tcp->dest)))
		return XDP_PASS;
	__builtin_memcpy(client.address, &ip->saddr, sizeof(client.address));
	client.port = tcp->source;
	client.server_port = tcp->dest;
	if (is_verified(&client, tcp))
		return finish(LET_THROUGH, XDP_PASS);
	switch (request_of(tcp)) {
	case OPENS:
		len = copy_tcp(ctx, tcp, copy);
		if (len < sizeof(*tcp) || len > TCP_MAX)
			return finish(REFUSED, XDP_DROP);
		cookie = bpf_tcp_raw_gen_syncookie_ipv6(ip, (void *)copy, len);
		return cookie < 0 ? finish(REFUSED, XDP_DROP) : reply_ipv6(ctx, cookie);
	case ACKNOWLEDGES:
		if (bpf_tcp_raw_check_syncookie_ipv6(ip, tcp))
			return finish(WRONG_COOKIES, XDP_DROP);
		return admit(&client);
	default:
		return finish(REFUSED, XDP_DROP);
	}
}

SEC("xdp")
int xdp_syncookie(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return over_ipv4(ctx, &c);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return over_ipv6(ctx, &c);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
