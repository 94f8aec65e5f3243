// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * named: helpers of the host's own, by their names.
 *
 * Maps: none. Helpers: those of tests/c/host.c (host_sum, host_put), declared as kernel functions are; host_other, which no host has.
 * Expect: XDP_TX where they answer as mine.c wants; named_weak XDP_TX with them and XDP_PASS where there are none; named_strong is refused by name where there are none;
 * named_wrong is refused: it hands over memory that it does not have.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern long host_sum(const void *bytes, __u64 size) __ksym;
extern long host_put(struct xdp_md *ctx, long *out) __ksym;
extern long host_sum___weak(const void *bytes, __u64 size) __ksym __weak;
extern long host_other(struct xdp_md *ctx) __ksym __weak;

SEC("xdp")
int named_strong(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	long out = 0;

	if (data + 8 > data_end)
		return XDP_DROP;
	if (host_sum(data, 8) != 36)
		return XDP_DROP;
	return host_put(ctx, &out) == 0 && out == 77 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int named_weak(struct xdp_md *ctx)
{
	__u8 local[4] = { 1, 2, 3, 4 };

	if (host_other)
		return host_other(ctx);
	if (!host_sum___weak)
		return XDP_PASS;
	return host_sum___weak(local, sizeof(local)) == 10 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int named_wrong(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	return host_sum(data, 8);
}

char _license[] SEC("license") = "GPL";
