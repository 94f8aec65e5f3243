// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * mine: helpers of the host's own, by their numbers.
 *
 * Maps: none. Helpers: 40000 (reads memory in the packet and on the stack), 40001 (writes a number), 40002 (moves the packet's start).
 * Expect: what the helpers of tests/c/host.c answer; XDP_TX where they do, XDP_DROP elsewhere. mine_wrong is refused: it hands over memory that it does not have.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long (*sum)(const void *bytes, __u64 size) = (void *)40000;
static long (*put)(struct xdp_md *ctx, long *out) = (void *)40001;
static long (*skip)(struct xdp_md *ctx, __u64 bytes) = (void *)40002;

SEC("xdp")
int mine(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u8 local[4] = { 1, 2, 3, 4 };
	long out = 0;

	if (data + 8 > data_end)
		return XDP_DROP;
	if (sum(data, 8) != 36 || sum(local, sizeof(local)) != 10)
		return XDP_DROP;
	if (put(ctx, &out) != 0 || out != 77)
		return XDP_DROP;
	skip(ctx, 4);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + 1 > data_end)
		return XDP_DROP;
	return data[0] == 5 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int mine_wrong(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	return sum(data, 8);
}

char _license[] SEC("license") = "GPL";
