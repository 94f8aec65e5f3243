// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * sockets: listeners and UDP sockets of IPv4 and IPv6 at the packet's addresses, and SYN cookies that a listener takes back.
 *
 * Maps: .bss. Helpers: sk_lookup_tcp, sk_lookup_udp, skc_lookup_tcp, sk_release, tcp_gen_syncookie, tcp_check_syncookie.
 * sockets_states: TCP and UDP sockets of every state that can be met.
 * Expect: TCP on port 80 and UDP on port 53 of 10.0.0.2 and fc00::2. Results in `out`, of cookies the MSS alone; XDP_PASS.
 * sockets_states: connections from ports 2000 (both ends open) and 2001 (one end waits for the last segments) to a former listener on port 84; a listener for
 * everybody on 85, one on IPv6 alone on 86, for both families on 87; UDP for everybody on 54, connected to port 2000 on 55.
 */
#include "out.h"
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

#define FOUND(socket)                               \
	do {                                        \
		struct bpf_sock *s_ = (socket);     \
		OUT(s_ != 0);                       \
		if (s_)                             \
			bpf_sk_release(s_);         \
	} while (0)

#define HERE BPF_F_CURRENT_NETNS

/* Each kind of socket, then what is none. `t` is the tuple, `a` its addresses. */
#define LOOKUPS(a)                                                      \
	do {                                                            \
		t.a.dport = bpf_htons(80);                              \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_skc_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_sk_lookup_udp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 1)); \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), 1ull << 32, 0)); \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), 7, 0));   \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, 13, HERE, 0));         \
		t.a.dport = bpf_htons(53);                              \
		FOUND(bpf_sk_lookup_udp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_skc_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_sk_lookup_udp(ctx, &t, sizeof(t.a), HERE, 2)); \
		t.a.dport = bpf_htons(81);                              \
		FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0)); \
		FOUND(bpf_sk_lookup_udp(ctx, &t, sizeof(t.a), HERE, 0)); \
	} while (0)

/* A cookie for a SYN, the answer with it, answers without, then headers that are none. */
#define COOKIES(a)                                                                              \
	do {                                                                                    \
		t.a.dport = bpf_htons(80);                                                      \
		sk = bpf_skc_lookup_tcp(ctx, &t, sizeof(t.a), HERE, 0);                         \
		if (!sk)                                                                        \
			return XDP_DROP;                                                        \
		syn.tcp.source = t.a.sport;                                                     \
		syn.tcp.dest = t.a.dport;                                                       \
		syn.tcp.seq = bpf_htonl(1000);                                                  \
		syn.tcp.doff = 6;                                                               \
		syn.tcp.syn = 1;                                                                \
		cookie = bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &syn.tcp, sizeof(syn));     \
		OUT(cookie < 0 ? cookie : cookie >> 32);                                        \
		OUT(bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &syn.tcp, 20));                  \
		OUT(bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &syn.tcp, 19));                  \
		OUT(bpf_tcp_gen_syncookie(sk, &ip, 19, &syn.tcp, sizeof(syn)));                 \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &syn.tcp, sizeof(syn)));       \
		ack = syn.tcp;                                                                  \
		ack.doff = 5;                                                                   \
		ack.syn = 0;                                                                    \
		ack.ack = 1;                                                                    \
		ack.seq = bpf_htonl(1001);                                                      \
		ack.ack_seq = bpf_htonl((__u32)cookie + 1);                                     \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &ack, sizeof(ack)));           \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &ack, 19));                    \
		OUT(bpf_tcp_check_syncookie(sk, &ip, 19, &ack, sizeof(ack)));                   \
		OUT(bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &ack, sizeof(ack)));             \
		ack.ack_seq = bpf_htonl((__u32)cookie + 0x12346);                               \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &ack, sizeof(ack)));           \
		ack.rst = 1;                                                                    \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &ack, sizeof(ack)));           \
		bpf_sk_release(sk);                                                             \
		t.a.dport = bpf_htons(53);                                                      \
		sk = bpf_sk_lookup_udp(ctx, &t, sizeof(t.a), HERE, 0);                          \
		if (!sk)                                                                        \
			return XDP_DROP;                                                        \
		ack.rst = 0;                                                                    \
		OUT(bpf_tcp_gen_syncookie(sk, &ip, sizeof(ip), &syn.tcp, sizeof(syn)));         \
		OUT(bpf_tcp_check_syncookie(sk, &ip, sizeof(ip), &ack, sizeof(ack)));           \
		bpf_sk_release(sk);                                                             \
	} while (0)

/* A SYN whose only option is an MSS of 1440, which the tables of both families have. */
struct syn {
	struct tcphdr tcp;
	__u8 mss[4];
};

SEC("xdp")
int sockets_ipv4(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = {};
	struct iphdr ip = { .version = 4, .ihl = 5 };
	struct syn syn = { .mss = { 2, 4, 1440 >> 8, 1440 & 255 } };
	struct tcphdr ack;
	struct bpf_sock *sk;
	long cookie;
	OUT_BEGIN;

	t.ipv4.saddr = ip.saddr = bpf_htonl(0x0a000001);
	t.ipv4.daddr = ip.daddr = bpf_htonl(0x0a000002);
	t.ipv4.sport = bpf_htons(1000);
	LOOKUPS(ipv4);
	COOKIES(ipv4);
	return XDP_PASS;
}

SEC("xdp")
int sockets_ipv6(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = {};
	struct ipv6hdr ip = { .version = 6 };
	struct syn syn = { .mss = { 2, 4, 1440 >> 8, 1440 & 255 } };
	struct tcphdr ack;
	struct bpf_sock *sk;
	long cookie;
	OUT_BEGIN;

	t.ipv6.saddr[0] = t.ipv6.daddr[0] = bpf_htonl(0xfc000000);
	t.ipv6.saddr[3] = bpf_htonl(1);
	t.ipv6.daddr[3] = bpf_htonl(2);
	__builtin_memcpy(&ip.saddr, t.ipv6.saddr, 16);
	__builtin_memcpy(&ip.daddr, t.ipv6.daddr, 16);
	t.ipv6.sport = bpf_htons(1000);
	LOOKUPS(ipv6);
	COOKIES(ipv6);
	return XDP_PASS;
}

/* The addresses, from one's own point of view or the other's. */
#define TUPLE(from, sport_, to, dport_)                                                                  \
	{                                                                                                \
		.ipv4 = { .saddr = __builtin_bswap32(0x0a000000 | (from)), .sport = __builtin_bswap16(sport_), \
			  .daddr = __builtin_bswap32(0x0a000000 | (to)), .dport = __builtin_bswap16(dport_) }    \
	}

/* What each lookup finds, and what a socket says to cookies. */
static __noinline int states_of(struct xdp_md *ctx, struct bpf_sock_tuple *t, long *found)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .saddr = t->ipv4.saddr, .daddr = t->ipv4.daddr };
	struct tcphdr syn = { .source = t->ipv4.sport, .dest = t->ipv4.dport, .doff = 5, .syn = 1 };
	struct tcphdr ack = { .source = t->ipv4.sport, .dest = t->ipv4.dport, .doff = 5, .ack = 1 };
	struct bpf_sock *s;
	long cookie;

	s = bpf_sk_lookup_tcp(ctx, t, sizeof(t->ipv4), HERE, 0);
	found[0] = s != 0;
	if (s) {
		cookie = bpf_tcp_gen_syncookie(s, &ip, sizeof(ip), &syn, sizeof(syn));
		found[1] = cookie < 0 ? cookie : cookie >> 32;
		found[2] = bpf_tcp_check_syncookie(s, &ip, sizeof(ip), &ack, sizeof(ack));
		bpf_sk_release(s);
	}
	s = bpf_skc_lookup_tcp(ctx, t, sizeof(t->ipv4), HERE, 0);
	found[3] = s != 0;
	if (s) {
		cookie = bpf_tcp_gen_syncookie(s, &ip, sizeof(ip), &syn, sizeof(syn));
		found[4] = cookie < 0 ? cookie : cookie >> 32;
		found[5] = bpf_tcp_check_syncookie(s, &ip, sizeof(ip), &ack, sizeof(ack));
		bpf_sk_release(s);
	}
	s = bpf_sk_lookup_udp(ctx, t, sizeof(t->ipv4), HERE, 0);
	found[6] = s != 0;
	if (s) {
		found[7] = bpf_tcp_gen_syncookie(s, &ip, sizeof(ip), &syn, sizeof(syn));
		bpf_sk_release(s);
	}
	return 0;
}

SEC("xdp")
int sockets_states(struct xdp_md *ctx)
{
	struct bpf_sock_tuple all[] = {
		TUPLE(1, 2000, 2, 84), TUPLE(2, 84, 1, 2000), TUPLE(1, 2001, 2, 84), TUPLE(2, 84, 1, 2001), TUPLE(1, 2002, 2, 84),
		TUPLE(1, 2000, 2, 85), TUPLE(1, 2000, 2, 86), TUPLE(1, 2000, 2, 87), TUPLE(9, 1, 2, 54),    TUPLE(1, 2000, 2, 55),
		TUPLE(1, 2001, 2, 55), TUPLE(2, 55, 1, 2000),
	};
	int i;

#pragma unroll
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		states_of(ctx, &all[i], out + 8 * i);
	return XDP_PASS;
}
