// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * adjust: every way to move the ends of a packet, those that must fail among them. The packet's first byte says which.
 *
 * Maps: none. Helpers: bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_adjust_meta.
 * Expect, by first byte: 0 to 3: an adjustment far beyond the buffer fails, XDP_TX, untouched (XDP_DROP if it did not fail). 4: four
 * bytes 0xee grow in front, XDP_TX. 5: ten bytes go at the end, XDP_TX. 6: eight bytes of metadata, XDP_PASS, packet
 * untouched. 7: an unknown return code. 8: XDP_REDIRECT without a target. Others: XDP_DROP.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FAR 100000

static __always_inline int failed(long result)
{
	return result < 0 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int adjust(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;

	if (data + 1 > data_end)
		return XDP_DROP;
	switch (data[0]) {
	case 0:
		return failed(bpf_xdp_adjust_head(ctx, -FAR));
	case 1:
		return failed(bpf_xdp_adjust_head(ctx, FAR));
	case 2:
		return failed(bpf_xdp_adjust_tail(ctx, FAR));
	case 3:
		return failed(bpf_xdp_adjust_tail(ctx, -FAR));
	case 4:
		if (bpf_xdp_adjust_head(ctx, -4) < 0)
			return XDP_ABORTED;
		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
		if (data + 4 > data_end)
			return XDP_ABORTED;
		data[0] = data[1] = data[2] = data[3] = 0xee;
		return XDP_TX;
	case 5:
		return bpf_xdp_adjust_tail(ctx, -10) < 0 ? XDP_ABORTED : XDP_TX;
	case 6:
		return bpf_xdp_adjust_meta(ctx, -8) < 0 ? XDP_ABORTED : XDP_PASS;
	case 7:
		return 77;
	case 8:
		return XDP_REDIRECT;
	}
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
