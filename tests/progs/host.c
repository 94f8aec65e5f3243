// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * host: what a host answers: sockets, SYN cookies of listeners, tracked connections, what the NIC said.
 *
 * Maps: .bss. Helpers: sk_lookup_tcp, sk_lookup_udp, skc_lookup_tcp, sk_release, tcp_gen_syncookie, tcp_check_syncookie; kernel functions: bpf_xdp_ct_*,
 * bpf_ct_*, bpf_xdp_metadata_rx_*.
 * Expect: results in `out`; XDP_PASS.
 */
#include "out.h"

/* Types of the kernel's that are held and never looked into. */
struct nf_conn {
	int unused;
};

struct nf_conn___init {
	int unused;
};

struct bpf_ct_opts___here {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u16 ct_zone_id;
	__u8 ct_zone_dir;
	__u8 reserved[3];
} __attribute__((preserve_access_index));

enum xdp_rss_hash_type___here { HERE = 0, WIDE = 0xffffffff };

extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts___here *opts,
					       __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts___here *opts,
					 __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *ct, __u32 timeout) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *ct, __u32 status) __ksym;
extern int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type___here *type) __ksym;
extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *time) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *proto, __u16 *tag) __ksym;

/* 10.0.0.1:1000 to 10.0.0.2:port */
#define TUPLE(port)                                                                                               \
	{                                                                                                         \
		.ipv4 = { .saddr = 0x0100000a, .daddr = 0x0200000a, .sport = __builtin_bswap16(1000),             \
			  .dport = __builtin_bswap16(port) }                                                      \
	}

#define FOUND(socket)                               \
	do {                                        \
		struct bpf_sock *s_ = (socket);     \
		OUT(s_ != 0);                       \
		if (s_)                             \
			bpf_sk_release(s_);         \
	} while (0)

SEC("xdp")
int host_no_socket(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = TUPLE(9);
	OUT_BEGIN;

	FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &t, 13, BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 1));
	FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), 1ull << 32, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), 7, 0));
	return XDP_PASS;
}

SEC("xdp")
int host_sockets(struct xdp_md *ctx)
{
	struct bpf_sock_tuple listener = TUPLE(80), udp = TUPLE(53), other = TUPLE(81);
	__u8 ip[20] = { 0x45 }, tcp[20] = { [12] = 0x50, [13] = 2 };
	struct bpf_sock *s;
	OUT_BEGIN;

	FOUND(bpf_sk_lookup_tcp(ctx, &listener, sizeof(listener.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_udp(ctx, &listener, sizeof(listener.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_udp(ctx, &udp, sizeof(udp.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &other, sizeof(other.ipv4), BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &listener, 13, BPF_F_CURRENT_NETNS, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &listener, sizeof(listener.ipv4), BPF_F_CURRENT_NETNS, 1));
	FOUND(bpf_sk_lookup_tcp(ctx, &listener, sizeof(listener.ipv4), 1ull << 32, 0));
	FOUND(bpf_sk_lookup_tcp(ctx, &listener, sizeof(listener.ipv4), 7, 0));
	at_ = 16;
	s = bpf_skc_lookup_tcp(ctx, &listener, sizeof(listener.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!s)
		return XDP_DROP;
	OUT(bpf_tcp_gen_syncookie(s, ip, sizeof(ip), (void *)tcp, sizeof(tcp)));
	OUT(bpf_tcp_gen_syncookie(s, ip, sizeof(ip), (void *)tcp, 19));
	OUT(bpf_tcp_gen_syncookie(s, ip, 19, (void *)tcp, sizeof(tcp)));
	OUT(bpf_tcp_check_syncookie(s, ip, sizeof(ip), (void *)tcp, sizeof(tcp)));
	tcp[13] = 16;
	OUT(bpf_tcp_gen_syncookie(s, ip, sizeof(ip), (void *)tcp, sizeof(tcp)));
	OUT(bpf_tcp_check_syncookie(s, ip, sizeof(ip), (void *)tcp, sizeof(tcp)));
	tcp[11] = 78;
	OUT(bpf_tcp_check_syncookie(s, ip, sizeof(ip), (void *)tcp, sizeof(tcp)));
	OUT(bpf_tcp_check_syncookie(s, ip, 19, (void *)tcp, sizeof(tcp)));
	bpf_sk_release(s);
	return XDP_PASS;
}

#define LOOKED_UP(tuple, size, options, options_size)                                             \
	do {                                                                                      \
		struct nf_conn *c_;                                                               \
		o.error = 77;                                                                     \
		c_ = bpf_xdp_ct_lookup(ctx, tuple, size, options, options_size);                  \
		OUT(c_ != 0);                                                                     \
		OUT(o.error);                                                                     \
		if (c_)                                                                           \
			bpf_ct_release(c_);                                                       \
	} while (0)

SEC("xdp")
int host_no_connection(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = TUPLE(9);
	struct bpf_ct_opts___here o = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = 6 };
	OUT_BEGIN;

	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	LOOKED_UP(&t, sizeof(t.ipv6), &o, 12);
	LOOKED_UP(&t, 13, &o, sizeof(o));
	LOOKED_UP(&t, sizeof(t.ipv4), &o, 13);
	o.l4proto = 1;
	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	o.l4proto = 17;
	o.netns_id = -2;
	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	o.netns_id = BPF_F_CURRENT_NETNS;
	o.reserved[1] = 1;
	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	LOOKED_UP(&t, sizeof(t.ipv4), &o, 12);
	o.ct_zone_id = 3;
	LOOKED_UP(&t, sizeof(t.ipv4), &o, 12);
	return XDP_PASS;
}

SEC("xdp")
int host_connections(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = TUPLE(80);
	struct bpf_ct_opts___here o = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = 6 };
	struct nf_conn___init *new;
	struct nf_conn *c;
	OUT_BEGIN;

	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	new = bpf_xdp_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));
	OUT(new != 0);
	if (!new)
		return XDP_DROP;
	bpf_ct_set_timeout(new, 10000);
	OUT(bpf_ct_set_status(new, 8));
	c = bpf_ct_insert_entry(new);
	OUT(c != 0);
	if (!c)
		return XDP_DROP;
	OUT(bpf_ct_change_timeout(c, 20000));
	OUT(bpf_ct_change_status(c, 8));
	bpf_ct_release(c);
	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	OUT(o.dir);
	return XDP_PASS;
}

/* What the host refuses: ports 81 to 83, the timeout 1, the status 16. */
SEC("xdp")
int host_refusals(struct xdp_md *ctx)
{
	struct bpf_sock_tuple known = TUPLE(81), full = TUPLE(82), t = TUPLE(83), none = TUPLE(84);
	struct bpf_ct_opts___here o = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = 6 };
	struct nf_conn___init *new;
	struct nf_conn *c;
	OUT_BEGIN;

	new = bpf_xdp_ct_alloc(ctx, &known, sizeof(known.ipv4), &o, sizeof(o));
	OUT(new != 0);
	OUT(o.error);
	if (new) {
		c = bpf_ct_insert_entry(new);
		if (c)
			bpf_ct_release(c);
	}
	new = bpf_xdp_ct_alloc(ctx, &known, 13, &o, sizeof(o));
	OUT(new != 0);
	OUT(o.error);
	if (new) {
		c = bpf_ct_insert_entry(new);
		if (c)
			bpf_ct_release(c);
	}
	new = bpf_xdp_ct_alloc(ctx, &full, sizeof(full.ipv4), &o, sizeof(o));
	OUT(new != 0);
	if (!new)
		return XDP_DROP;
	OUT(bpf_ct_set_status(new, 16));
	c = bpf_ct_insert_entry(new);
	OUT(c != 0);
	if (c)
		bpf_ct_release(c);
	LOOKED_UP(&full, sizeof(full.ipv4), &o, sizeof(o));
	new = bpf_xdp_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, sizeof(o));
	if (!new)
		return XDP_DROP;
	bpf_ct_set_timeout(new, 20000);
	OUT(bpf_ct_set_status(new, 8));
	c = bpf_ct_insert_entry(new);
	OUT(c != 0);
	if (!c)
		return XDP_DROP;
	OUT(bpf_ct_change_timeout(c, 1));
	OUT(bpf_ct_change_status(c, 16));
	bpf_ct_release(c);
	LOOKED_UP(&t, sizeof(t.ipv4), &o, sizeof(o));
	LOOKED_UP(&none, sizeof(none.ipv4), &o, sizeof(o));
	return XDP_PASS;
}

/* Sockets that are no listener: port 82, and one that owes no cookie: port 83. */
SEC("xdp")
int host_no_cookies(struct xdp_md *ctx)
{
	struct bpf_sock_tuple connected = TUPLE(82), idle = TUPLE(83);
	__u8 ip[20] = { 0x45 }, syn[20] = { [12] = 0x50, [13] = 2 }, ack[20] = { [12] = 0x50, [13] = 16 };
	struct bpf_sock *s;
	OUT_BEGIN;

	s = bpf_skc_lookup_tcp(ctx, &connected, sizeof(connected.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!s)
		return XDP_DROP;
	OUT(bpf_tcp_gen_syncookie(s, ip, sizeof(ip), (void *)syn, sizeof(syn)));
	OUT(bpf_tcp_check_syncookie(s, ip, sizeof(ip), (void *)ack, sizeof(ack)));
	bpf_sk_release(s);
	s = bpf_skc_lookup_tcp(ctx, &idle, sizeof(idle.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!s)
		return XDP_DROP;
	OUT(bpf_tcp_gen_syncookie(s, ip, sizeof(ip), (void *)syn, sizeof(syn)));
	OUT(bpf_tcp_check_syncookie(s, ip, sizeof(ip), (void *)ack, sizeof(ack)));
	bpf_sk_release(s);
	return XDP_PASS;
}

SEC("xdp")
int host_metadata(struct xdp_md *ctx)
{
	__u32 hash = 1;
	enum xdp_rss_hash_type___here type = 2;
	__u64 time = 3;
	__be16 proto = 4;
	__u16 tag = 5;
	OUT_BEGIN;

	OUT(bpf_xdp_metadata_rx_hash(ctx, &hash, &type));
	OUT(hash);
	OUT(type);
	OUT(bpf_xdp_metadata_rx_timestamp(ctx, &time));
	OUT(time);
	OUT(bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tag));
	OUT(proto);
	OUT(tag);
	return XDP_PASS;
}
