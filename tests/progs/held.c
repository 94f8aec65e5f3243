// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * held: sockets and connections that a program holds while it turns in a loop, in which a limit may end it.
 *
 * Maps: .bss. Helpers: sk_lookup_tcp, sk_lookup_udp, skc_lookup_tcp, sk_release, loop; kernel functions: bpf_xdp_ct_alloc, _lookup, bpf_ct_insert_entry, bpf_ct_release.
 * Expect: the packet's first byte says at which place it turns, the next four how often. XDP_PASS, and everything given back; XDP_DROP where the host has not all of it.
 */
#include "out.h"

struct nf_conn {
	int unused;
};

struct nf_conn___init {
	int unused;
};

struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 rest[7];
};

extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts *opts,
					       __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts *opts,
					 __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;

static int turn(__u32 i, void *unused)
{
	out[0]++;
	return 0;
}

#define TURN(place)                                             \
	do {                                                    \
		if (where == (place))                           \
			bpf_loop(turns, turn, 0, 0);            \
	} while (0)

SEC("xdp")
int held(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct bpf_ct_opts o = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = 6 };
	struct bpf_sock_tuple t = { .ipv4 = { .dport = __builtin_bswap16(80) } };
	struct bpf_sock *first, *second;
	struct nf_conn___init *new;
	int action = XDP_DROP;
	struct nf_conn *c;
	__u32 where, turns;

	if (data + 5 > data_end)
		return XDP_ABORTED;
	where = data[0];
	turns = *(__u32 *)(data + 1);
	first = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!first)
		return XDP_DROP;
	TURN(1);
	second = bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!second)
		goto no_second;
	TURN(2);
	new = bpf_xdp_ct_alloc(ctx, &t, sizeof(t.ipv4), &o, 12);
	if (!new)
		goto no_connection;
	TURN(3);
	c = bpf_ct_insert_entry(new);
	if (!c)
		goto no_connection;
	TURN(4);
	bpf_sk_release(first);
	TURN(5);
	t.ipv4.dport = __builtin_bswap16(53);
	first = bpf_sk_lookup_udp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	bpf_ct_release(c);
	TURN(6);
	bpf_sk_release(second);
	TURN(7);
	if (!first)
		return XDP_DROP;
	bpf_sk_release(first);
	TURN(8);
	t.ipv4.dport = __builtin_bswap16(80);
	c = bpf_xdp_ct_lookup(ctx, &t, sizeof(t.ipv4), &o, 12);
	if (!c)
		return XDP_DROP;
	TURN(9);
	bpf_ct_release(c);
	TURN(10);
	return XDP_PASS;

no_connection:
	bpf_sk_release(second);
no_second:
	bpf_sk_release(first);
	return action;
}
