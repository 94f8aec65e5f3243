// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * slots: a prog array whose programs the object itself names. The packet's first byte says which call is tried.
 *
 * Maps: PROG_ARRAY with values, .bss. Helpers: tail_call.
 * Expect, by first byte: 0: the program of slot 0, XDP_TX. 1: slot 1 is empty, 2: the index is the first beyond the array, 3: far beyond: XDP_DROP, nothing
 * was called. 4: slot 2 calls itself until no call is left, 33 in all, then goes on, XDP_PASS. 5: slot 2 as 4, whose way back goes through slot 3: XDP_PASS.
 * `out`: how often each program ran; in 8 and more, what the first byte led to.
 */
#include "out.h"

int hit(struct xdp_md *ctx);
int again(struct xdp_md *ctx);
int between(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [0] = (void *)&hit, [2] = (void *)&again, [3] = (void *)&between },
};

SEC("xdp")
int hit(struct xdp_md *ctx)
{
	out[1]++;
	return XDP_TX;
}

/* From one to itself, or by way of the other. */
SEC("xdp")
int again(struct xdp_md *ctx)
{
	out[2]++;
	bpf_tail_call(ctx, &jumps, out[5] == 5 ? 3 : 2);
	out[3]++;
	return XDP_PASS;
}

SEC("xdp")
int between(struct xdp_md *ctx)
{
	out[4]++;
	bpf_tail_call(ctx, &jumps, 2);
	out[6]++;
	return XDP_PASS;
}

SEC("xdp")
int slots(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u8 which;

	if (data + 1 > data_end)
		return XDP_ABORTED;
	which = data[0];
	out[0]++;
	out[5] = which;
	switch (which) {
	case 0:
		bpf_tail_call(ctx, &jumps, 0);
		break;
	case 1:
		bpf_tail_call(ctx, &jumps, 1);
		break;
	case 2:
		bpf_tail_call(ctx, &jumps, 4);
		break;
	case 3:
		bpf_tail_call(ctx, &jumps, 0xffffffff);
		break;
	default:
		bpf_tail_call(ctx, &jumps, 2);
	}
	out[8 + (which & 7)]++;
	return XDP_DROP;
}
