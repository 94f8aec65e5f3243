// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_frags: walk a packet that lies in several buffers, and find its last bytes.
 *
 * Maps: sums (PERCPU_ARRAY, 4 x u64): by enum what.
 * Helpers: bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_xdp_store_bytes, bpf_map_lookup_elem, bpf_loop; in the second
 *       program the kernel functions bpf_dynptr_from_xdp and bpf_dynptr_slice.
 * Programs: xdp_frags walks with bpf_xdp_load_bytes; xdp_frags_dynptr with dynptr slices. Both come to the same sum.
 * Expect: the bytes of the packet, in steps of STEP, are summed up into `sums`. A packet whose last eight bytes are
 * "xdpfrags" gets them written in capitals and is XDP_TX by xdp_frags (XDP_PASS by the other, which only reads); the
 * others are XDP_PASS. A packet of less than eight bytes, or more than STEP x STEPS, is XDP_DROP.
 */
#include "parse.h"

#define STEP 64
#define STEPS 512

enum what { PACKETS, BYTES, BYTE_SUM, MARKED, WHATS };

extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WHATS);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

static __always_inline void add(__u32 what, __u64 amount)
{
	__u64 *sum = bpf_map_lookup_elem(&sums, &what);

	if (sum)
		*sum += amount;
}

static const char mark[8] = "xdpfrags";
static const char capitals[8] = "XDPFRAGS";

struct walk {
	struct xdp_md *ctx;
	__u64 len;
	__u64 sum;
	__u64 failed;
};

/* Adds up one step of the packet. */
static long add_step(__u32 number, void *arg)
{
	struct walk *walk = arg;
	__u64 offset = (__u64)number * STEP;
	__u8 bytes[STEP] = {};
	__u64 rest;
	int i;

	if (offset >= walk->len)
		return 1;
	rest = opaque(walk->len - offset);
	if (rest == 0)
		return 1;
	if (rest > STEP)
		rest = STEP;
	if (bpf_xdp_load_bytes(walk->ctx, offset, bytes, rest)) {
		walk->failed = 1;
		return 1;
	}
	for (i = 0; i < STEP; i++)
		walk->sum += bytes[i];
	return 0;
}

SEC("xdp.frags")
int xdp_frags(struct xdp_md *ctx)
{
	struct walk walk = { .ctx = ctx, .len = bpf_xdp_get_buff_len(ctx) };
	char last[sizeof(mark)] = {};

	if (walk.len < sizeof(mark) || walk.len > STEP * STEPS)
		return XDP_DROP;
	bpf_loop(STEPS, add_step, &walk, 0);
	if (walk.failed)
		return XDP_ABORTED;
	add(PACKETS, 1);
	add(BYTES, walk.len);
	add(BYTE_SUM, walk.sum);
	if (bpf_xdp_load_bytes(ctx, walk.len - sizeof(last), last, sizeof(last)))
		return XDP_ABORTED;
	if (__builtin_memcmp(last, mark, sizeof(mark)) != 0)
		return XDP_PASS;
	__builtin_memcpy(last, capitals, sizeof(last));
	if (bpf_xdp_store_bytes(ctx, walk.len - sizeof(last), last, sizeof(last)))
		return XDP_ABORTED;
	add(MARKED, 1);
	return XDP_TX;
}

SEC("xdp.frags")
int xdp_frags_dynptr(struct xdp_md *ctx)
{
	__u32 len = bpf_xdp_get_buff_len(ctx);
	__u8 buffer[STEP];
	struct bpf_dynptr packet;
	__u64 sum = 0;
	__u8 *bytes;
	__u32 at;
	int i;

	if (len < sizeof(mark) || len > STEP * STEPS)
		return XDP_DROP;
	if (bpf_dynptr_from_xdp(ctx, 0, &packet))
		return XDP_ABORTED;
	for (at = 0; at + STEP <= len && at < STEP * STEPS; at += STEP) {
		bytes = bpf_dynptr_slice(&packet, at, buffer, sizeof(buffer));
		if (!bytes)
			return XDP_ABORTED;
		for (i = 0; i < STEP; i++)
			sum += bytes[i];
	}
	/* What is left is shorter than a step: byte by byte. */
	at = opaque(at);
	for (i = 0; i < STEP && at + i < len; i++) {
		bytes = bpf_dynptr_slice(&packet, at + i, buffer, 1);
		if (!bytes)
			return XDP_ABORTED;
		sum += *bytes;
	}
	add(PACKETS, 1);
	add(BYTES, len);
	add(BYTE_SUM, sum);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
