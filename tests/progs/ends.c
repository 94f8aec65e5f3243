// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * ends: how far the front of a packet and its metadata move. Three numbers in the packet say by how much.
 *
 * Maps: results (ARRAY), .bss. Helpers: xdp_adjust_head, xdp_adjust_meta, xdp_get_buff_len.
 * Expect: metadata by the third number, head by the first, metadata by the second; after each what the helper returned and how long metadata and packet are,
 * in `results` one after the other. XDP_PASS; XDP_DROP where the packet is too short.
 */
#include "out.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __s64);
} results SEC(".maps");

static __always_inline void note(__s64 number)
{
	__u32 at = out[0]++;
	__s64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place = number;
}

static __always_inline void moved(struct xdp_md *ctx, long result)
{
	note(result);
	note((void *)(long)ctx->data - (void *)(long)ctx->data_meta);
	note(bpf_xdp_get_buff_len(ctx));
}

SEC("xdp")
int ends(struct xdp_md *ctx)
{
	__s32 *numbers = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__s32 head, first, second;

	if (numbers + 3 > data_end)
		return XDP_DROP;
	head = numbers[0];
	second = numbers[1];
	first = numbers[2];
	moved(ctx, bpf_xdp_adjust_meta(ctx, first));
	moved(ctx, bpf_xdp_adjust_head(ctx, head));
	moved(ctx, bpf_xdp_adjust_meta(ctx, second));
	return XDP_PASS;
}
