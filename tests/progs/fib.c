// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * fib: questions about routes and MTU that stand in the packet, answered in the packet.
 *
 * Maps: none. Helpers: fib_lookup, check_mtu.
 * Expect: fib_query: struct bpf_fib_lookup, u32 flags, u32 unused, then the helper's result. mtu_query: u32 interface, u32 length, s32 difference, u32 flags,
 * then the result. XDP_PASS; XDP_DROP where the packet is too short.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Newer than some headers. */
struct fib_params {
	__u8 bytes[64];
};

SEC("xdp")
int fib_query(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct fib_params p;

	if (data + 80 > data_end)
		return XDP_DROP;
	__builtin_memcpy(&p, data, sizeof(p));
	*(long *)(data + 72) = bpf_fib_lookup(ctx, (void *)&p, sizeof(p), *(__u32 *)(data + 64));
	__builtin_memcpy(data, &p, sizeof(p));
	return XDP_PASS;
}

SEC("xdp")
int fib_short(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct fib_params p = {};

	if (data + 80 > data_end)
		return XDP_DROP;
	*(long *)(data + 72) = bpf_fib_lookup(ctx, (void *)&p, 63, 0);
	return XDP_PASS;
}

SEC("xdp")
int mtu_query(struct xdp_md *ctx)
{
	__u32 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, mtu;

	if (data + 6 > data_end)
		return XDP_DROP;
	mtu = data[1];
	*(long *)(data + 4) = bpf_check_mtu(ctx, data[0], &mtu, data[2], data[3]);
	data[1] = mtu;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
