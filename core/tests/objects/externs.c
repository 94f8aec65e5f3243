// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Symbols that the object does not define, one kind a program, and CO-RE relocations.
// Built by: clang -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c externs.c
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash) __ksym;
extern int maybe_there(struct xdp_md *ctx) __ksym __weak;
extern int CONFIG_HZ __kconfig;
extern int nowhere(struct xdp_md *ctx);

struct parts {
	int a, b;
} __attribute__((preserve_access_index));

SEC("xdp")
int calls_kfunc(struct xdp_md *ctx)
{
	__u32 hash = 0;

	return bpf_xdp_metadata_rx_hash(ctx, &hash) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int calls_weak(struct xdp_md *ctx)
{
	return maybe_there ? maybe_there(ctx) : XDP_PASS;
}

SEC("xdp")
int reads_kconfig(struct xdp_md *ctx)
{
	return CONFIG_HZ == 100 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int calls_nothing(struct xdp_md *ctx)
{
	return nowhere(ctx);
}

SEC("xdp")
int uses_core(struct xdp_md *ctx)
{
	struct parts *p = (void *)(long)ctx->data;

	if ((void *)(p + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	return p->b;
}

char LICENSE[] SEC("license") = "GPL";
