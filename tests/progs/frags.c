// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * frags: a packet in several buffers, shortened, grown, read, written and pulled together.
 *
 * Maps: PERF_EVENT_ARRAY, .bss. Helpers: xdp_get_buff_len, xdp_load_bytes, xdp_store_bytes, xdp_adjust_head, _tail, _meta, perf_event_output; kernel function:
 * bpf_xdp_pull_data.
 * Expect: results in `out`, bytes in `bytes`; XDP_PASS.
 */
#include "out.h"

extern int bpf_xdp_pull_data(struct xdp_md *x, __u32 len) __ksym;

char bytes[256];

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

/* The whole packet as a sample, and more than there is. */
SEC("xdp.frags")
int frags_sample(struct xdp_md *ctx)
{
	__u64 size = bpf_xdp_get_buff_len(ctx);
	__u32 mark = 0x11223344;
	OUT_BEGIN;

	OUT(bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | size << 32, &mark, sizeof(mark)));
	OUT(bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | (size + 1) << 32, &mark, sizeof(mark)));
	return XDP_PASS;
}

SEC("xdp.frags")
int frags_bytes(struct xdp_md *ctx)
{
	__u32 size = bpf_xdp_get_buff_len(ctx), linear = ctx->data_end - ctx->data;
	OUT_BEGIN;

	OUT(size);
	OUT(linear);
	OUT(bpf_xdp_load_bytes(ctx, 0, bytes, 16));
	OUT(bpf_xdp_load_bytes(ctx, linear - 8, bytes + 16, 16));
	OUT(bpf_xdp_load_bytes(ctx, linear, bytes + 32, 16));
	OUT(bpf_xdp_load_bytes(ctx, linear + 4096 - 8, bytes + 48, 16));
	OUT(bpf_xdp_load_bytes(ctx, size - 16, bytes + 64, 16));
	OUT(bpf_xdp_load_bytes(ctx, size - 15, bytes + 80, 16));
	OUT(bpf_xdp_load_bytes(ctx, 0x10000, bytes + 80, 16));
	OUT(bpf_xdp_load_bytes(ctx, size, bytes + 80, 1));
	OUT(bpf_xdp_store_bytes(ctx, linear - 3, bytes, 16));
	OUT(bpf_xdp_store_bytes(ctx, linear + 4096 - 3, bytes, 16));
	OUT(bpf_xdp_store_bytes(ctx, size - 16, bytes, 16));
	OUT(bpf_xdp_store_bytes(ctx, size - 15, bytes, 16));
	OUT(bpf_xdp_load_bytes(ctx, linear - 100, bytes + 96, 150));
	return XDP_PASS;
}

/* The first four bytes: by how much the tail moves; the next four: once more. */
SEC("xdp.frags")
int frags_tail(struct xdp_md *ctx)
{
	int *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, first, second;
	OUT_BEGIN;

	if (data + 2 > data_end)
		return XDP_DROP;
	first = data[0];
	second = data[1];
	OUT(bpf_xdp_adjust_tail(ctx, first));
	OUT(bpf_xdp_get_buff_len(ctx));
	OUT(ctx->data_end - ctx->data);
	OUT(bpf_xdp_adjust_tail(ctx, second));
	OUT(bpf_xdp_get_buff_len(ctx));
	OUT(ctx->data_end - ctx->data);
	return XDP_PASS;
}

/* The first four bytes: how many bytes are pulled; the next four: by how much the head moves before. */
SEC("xdp.frags")
int frags_pull(struct xdp_md *ctx)
{
	int *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, len, head;
	OUT_BEGIN;

	if (data + 2 > data_end)
		return XDP_DROP;
	len = data[0];
	head = data[1];
	OUT(bpf_xdp_adjust_head(ctx, head));
	OUT(bpf_xdp_pull_data(ctx, len));
	OUT(bpf_xdp_get_buff_len(ctx));
	OUT(ctx->data_end - ctx->data);
	OUT(bpf_xdp_adjust_meta(ctx, -8));
	return XDP_PASS;
}
