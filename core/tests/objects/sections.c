// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Functions in other sections than .text, and an entry without a function type, as assembly has it.
// Built by: clang -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c sections.c
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))

static SEC("helpers") __attribute__((noinline)) int elsewhere(int x)
{
	return x * 3;
}

SEC("xdp/shared")
__attribute__((noinline)) int shared(int x)
{
	return elsewhere(x) + 1;
}

SEC("xdp/main")
int across(struct xdp_md *ctx)
{
	return shared(ctx->rx_queue_index) + elsewhere(ctx->ingress_ifindex);
}

asm(".section bare,\"ax\",@progbits\n"
    ".globl bare_entry\n"
    "bare_entry:\n"
    "r0 = 2\n"
    "exit\n"
    ".text\n");
