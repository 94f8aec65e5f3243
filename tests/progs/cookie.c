// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * cookie: SYN cookies made and checked without a socket.
 *
 * Maps: .bss. Helpers: tcp_raw_gen_syncookie_ipv4, _ipv6, tcp_raw_check_syncookie_ipv4, _ipv6.
 * Expect: in `out` the MSS of cookies and the results of checks, not the cookies; XDP_PASS.
 */
#include "out.h"
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

struct syn {
	struct tcphdr tcp;
	__u8 options[20];
};

/* MSS of the cookie, or the error; then whether the answer to it is taken, and whether others are. */
#define COOKIE(gen, check, ip, size)                                                                  \
	do {                                                                                          \
		long c_ = gen(ip, &s.tcp, size);                                                      \
		struct tcphdr a_ = s.tcp;                                                             \
		OUT(c_ < 0 ? c_ : c_ >> 32);                                                          \
		if (c_ > 0) {                                                                         \
			a_.seq = bpf_htonl(bpf_ntohl(a_.seq) + 1);                                    \
			a_.ack_seq = bpf_htonl((__u32)c_ + 1);                                        \
			OUT(check(ip, &a_));                                                          \
			a_.ack_seq = bpf_htonl((__u32)c_ + 1 + (1 << 24) * 7);                        \
			OUT(check(ip, &a_));                                                          \
			a_.ack_seq = bpf_htonl((__u32)c_ + 1 + 0x1234);                               \
			OUT(check(ip, &a_));                                                          \
			a_.ack_seq = bpf_htonl((__u32)c_ + 1);                                        \
			a_.seq = bpf_htonl(bpf_ntohl(a_.seq) + 0x3456);                               \
			OUT(check(ip, &a_));                                                          \
		}                                                                                     \
	} while (0)

#define MSS(value) (s.options[0] = 2, s.options[1] = 4, s.options[2] = (value) >> 8, s.options[3] = (value) & 255)

#define COOKIES(gen, check, ip)                                         \
	do {                                                            \
		s.tcp.source = bpf_htons(1234);                         \
		s.tcp.dest = bpf_htons(80);                             \
		s.tcp.seq = bpf_htonl(0xfffffffe);                      \
		s.tcp.doff = 5;                                         \
		COOKIE(gen, check, ip, 20);                             \
		COOKIE(gen, check, ip, 24);                             \
		COOKIE(gen, check, ip, 19);                             \
		COOKIE(gen, check, ip, 0);                              \
		s.tcp.doff = 6;                                         \
		MSS(535);                                               \
		COOKIE(gen, check, ip, 24);                             \
		MSS(1300);                                              \
		COOKIE(gen, check, ip, 24);                             \
		MSS(1439);                                              \
		COOKIE(gen, check, ip, 24);                             \
		MSS(1460);                                              \
		COOKIE(gen, check, ip, 24);                             \
		MSS(65535);                                             \
		COOKIE(gen, check, ip, 24);                             \
		MSS(0);                                                 \
		COOKIE(gen, check, ip, 24);                             \
		s.tcp.doff = 8;                                         \
		s.options[0] = 1;                                       \
		s.options[1] = 3;                                       \
		s.options[2] = 3;                                       \
		s.options[3] = 7;                                       \
		s.options[4] = 2;                                       \
		s.options[5] = 4;                                       \
		s.options[6] = 5;                                       \
		s.options[7] = 0xb4;                                    \
		s.options[8] = 0;                                       \
		COOKIE(gen, check, ip, 32);                             \
		s.options[5] = 5;                                       \
		COOKIE(gen, check, ip, 32);                             \
		s.options[5] = 1;                                       \
		COOKIE(gen, check, ip, 32);                             \
	} while (0)

SEC("xdp")
int cookie_ipv4(struct xdp_md *ctx)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .saddr = 0x0100000a, .daddr = 0x0200000a };
	struct syn s = {};
	OUT_BEGIN;

	COOKIES(bpf_tcp_raw_gen_syncookie_ipv4, bpf_tcp_raw_check_syncookie_ipv4, &ip);
	return XDP_PASS;
}

SEC("xdp")
int cookie_ipv6(struct xdp_md *ctx)
{
	struct ipv6hdr ip = { .version = 6 };
	struct syn s = {};
	OUT_BEGIN;

	ip.saddr.in6_u.u6_addr8[0] = 0xfc;
	ip.daddr.in6_u.u6_addr8[15] = 1;
	COOKIES(bpf_tcp_raw_gen_syncookie_ipv6, bpf_tcp_raw_check_syncookie_ipv6, &ip);
	return XDP_PASS;
}
