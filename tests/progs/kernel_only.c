// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * kernel_only: what needs objects of the kernel, a program each. They compile, and are refused by name.
 *
 * Maps: .bss. Helpers: per_cpu_ptr, this_cpu_ptr, kptr_xchg; kernel function: bpf_rdonly_cast.
 * Expect: no program loads.
 */
#include "out.h"

extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;

SEC("xdp")
int other_cpu(struct xdp_md *ctx)
{
	return bpf_per_cpu_ptr(&out[0], 1) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int this_cpu(struct xdp_md *ctx)
{
	return bpf_this_cpu_ptr(&out[0]) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int exchanged(struct xdp_md *ctx)
{
	return bpf_kptr_xchg(&out[0], 0) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int cast(struct xdp_md *ctx)
{
	return bpf_rdonly_cast(ctx, 0) ? XDP_PASS : XDP_DROP;
}
