// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * services: one helper a program, of those that want something of the host or of the platform.
 *
 * Maps: ARRAY with a timer, .bss. Helpers: ktime_get_ns, _boot_ns, _coarse_ns, _tai_ns, jiffies64, timer_start, sk_lookup_tcp, sk_lookup_udp, skc_lookup_tcp,
 * sk_release, tcp_gen_syncookie, tcp_check_syncookie, tcp_raw_gen_syncookie_ipv4, _ipv6, tcp_raw_check_syncookie_ipv4, _ipv6.
 * Expect: refused where the service is not there; XDP_PASS.
 */
#include "out.h"
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

struct value {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct value);
} timers SEC(".maps");

#define WANTS(name)                         \
	SEC("xdp")                          \
	int wants_##name(struct xdp_md *ctx)

#define READS(name, call)                   \
	WANTS(name)                         \
	{                                   \
		out[0] = call;              \
		return XDP_PASS;            \
	}

READS(monotonic, bpf_ktime_get_ns())
READS(boottime, bpf_ktime_get_boot_ns())
READS(coarse, bpf_ktime_get_coarse_ns())
READS(tai, bpf_ktime_get_tai_ns())
READS(ticks, bpf_jiffies64())

WANTS(timer)
{
	__u32 key = 0;
	struct value *v = bpf_map_lookup_elem(&timers, &key);

	if (v)
		out[0] = bpf_timer_start(&v->timer, 1000, 0);
	return XDP_PASS;
}

#define LOOKS(name)                                                                                             \
	WANTS(name)                                                                                             \
	{                                                                                                       \
		struct bpf_sock_tuple t = {};                                                                   \
		struct bpf_sock *s = bpf_##name(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);               \
                                                                                                                \
		if (s)                                                                                          \
			bpf_sk_release(s);                                                                      \
		return XDP_PASS;                                                                                \
	}

LOOKS(sk_lookup_tcp)
LOOKS(sk_lookup_udp)
LOOKS(skc_lookup_tcp)

#define COOKIE(name)                                                                                            \
	WANTS(name)                                                                                             \
	{                                                                                                       \
		struct bpf_sock_tuple t = {};                                                                   \
		struct tcphdr tcp = {};                                                                         \
		struct iphdr ip = {};                                                                           \
		struct bpf_sock *s = bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);       \
                                                                                                                \
		if (!s)                                                                                         \
			return XDP_PASS;                                                                        \
		out[0] = bpf_##name(s, &ip, sizeof(ip), &tcp, sizeof(tcp));                                     \
		bpf_sk_release(s);                                                                              \
		return XDP_PASS;                                                                                \
	}

COOKIE(tcp_gen_syncookie)
COOKIE(tcp_check_syncookie)

#define RAW(name, header, ...)                                                                                  \
	WANTS(name)                                                                                             \
	{                                                                                                       \
		struct header ip = {};                                                                          \
		struct tcphdr tcp = {};                                                                         \
                                                                                                                \
		out[0] = bpf_##name(&ip, &tcp __VA_ARGS__);                                                     \
		return XDP_PASS;                                                                                \
	}

#define SIZED , sizeof(tcp)
RAW(tcp_raw_gen_syncookie_ipv4, iphdr, SIZED)
RAW(tcp_raw_gen_syncookie_ipv6, ipv6hdr, SIZED)
RAW(tcp_raw_check_syncookie_ipv4, iphdr)
RAW(tcp_raw_check_syncookie_ipv6, ipv6hdr)
