// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * long: loops in loops that would take hours.
 *
 * Maps: none. Helpers: bpf_loop. Expect: XDP_ABORTED by the watchdog, for want of instructions or of time; XDP_PASS for a packet that begins with 0.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long inner(__u64 i, void *data)
{
	*(__u64 *)data += i;
	return 0;
}

static long outer(__u64 i, void *data)
{
	bpf_loop(1 << 22, inner, data, 0);
	return 0;
}

SEC("xdp")
int long_run(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u64 sum = 0;

	if (data + 1 > data_end)
		return XDP_DROP;
	if (data[0])
		bpf_loop(1 << 22, outer, &sum, 0);
	return sum == 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
