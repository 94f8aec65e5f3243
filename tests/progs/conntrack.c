// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * conntrack: one question for connection tracking a packet, answered in the packet.
 *
 * Maps: none. Kernel functions: bpf_xdp_ct_*, bpf_ct_*.
 * Expect: struct question in, its options and results out; XDP_PASS, XDP_DROP where the packet is too short.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Types of the kernel's that are held and never looked into. */
struct nf_conn {
	int unused;
};

struct nf_conn___init {
	int unused;
};

struct bpf_ct_opts {
	__u8 bytes[16];
};

extern struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts *opts,
					       __u32 opts_size) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size, struct bpf_ct_opts *opts,
					 __u32 opts_size) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *ct) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn___init *ct, __u32 timeout) __ksym;
extern int bpf_ct_change_timeout(struct nf_conn *ct, __u32 timeout) __ksym;
extern int bpf_ct_set_status(const struct nf_conn___init *ct, __u32 status) __ksym;
extern int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym;

enum { SET_TIMEOUT = 1, SET_STATUS = 2, CHANGE_TIMEOUT = 4, CHANGE_STATUS = 8, NEW = 16 };

struct question {
	__u8 opts[32]; /* struct bpf_ct_opts and what must stay */
	__u8 tuple[40];
	__u8 opts_size, tuple_size, does, unused;
	__u32 timeout, status, new_timeout, new_status;
	/* out */
	__u32 found, inserted;
	__s32 set_status, change_timeout, change_status;
};

SEC("xdp")
int conntrack(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct nf_conn___init *new;
	struct bpf_ct_opts *opts;
	struct nf_conn *c = 0;
	struct question q;
	void *tuple;

	if (data + sizeof(q) > data_end)
		return XDP_DROP;
	__builtin_memcpy(&q, data, sizeof(q));
	opts = (void *)q.opts;
	tuple = q.tuple;
	if (q.opts_size > sizeof(q.opts) || q.tuple_size > sizeof(q.tuple))
		return XDP_DROP;
	if (q.does & NEW) {
		new = bpf_xdp_ct_alloc(ctx, tuple, q.tuple_size, opts, q.opts_size);
		q.found = new != 0;
		if (new) {
			if (q.does & SET_TIMEOUT)
				bpf_ct_set_timeout(new, q.timeout);
			if (q.does & SET_STATUS)
				q.set_status = bpf_ct_set_status(new, q.status);
			c = bpf_ct_insert_entry(new);
			q.inserted = c != 0;
		}
	} else {
		c = bpf_xdp_ct_lookup(ctx, tuple, q.tuple_size, opts, q.opts_size);
		q.found = c != 0;
	}
	if (c) {
		if (q.does & CHANGE_STATUS)
			q.change_status = bpf_ct_change_status(c, q.new_status);
		if (q.does & CHANGE_TIMEOUT)
			q.change_timeout = bpf_ct_change_timeout(c, q.new_timeout);
		bpf_ct_release(c);
	}
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(q) > data_end)
		return XDP_DROP;
	__builtin_memcpy(data, &q, sizeof(q));
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
