// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Every way in which an object refers to something: maps of all notations, global data, static and global functions, callbacks,
// static contents of maps. Built by: clang -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c features.c
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__u32 src, dst;
	__u16 sport, dport;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, __u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} flows SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [1] = &inner_b, [3] = &inner_a },
};

int tail_target(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} jumps SEC(".maps") = {
	.values = { [5] = (void *)&tail_target },
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 12);
	__uint(numa_node, 1);
} stats SEC(".maps");

const volatile __u32 limit = 7;
const volatile __u32 own_section SEC(".rodata.config") = 9;
static volatile __u64 hits = 5;
__u64 misses;
static __u64 seen[3];

static __attribute__((noinline)) int leaf(__u32 x)
{
	seen[x & 1] += x;
	return x * limit;
}

static __attribute__((noinline)) int middle(__u32 x)
{
	hits++;
	return leaf(x + 1) + own_section;
}

__attribute__((noinline)) int global_fn(struct xdp_md *ctx, struct flow *f, int n)
{
	if (!f)
		return 0;
	return f->src + n + ctx->rx_queue_index + leaf(n);
}

static long each(__u32 index, void *arg)
{
	*(__u64 *)arg += index;
	return 0;
}

SEC("xdp")
int main_prog(struct xdp_md *ctx)
{
	struct flow f = { .src = ctx->ingress_ifindex };
	__u64 sum = 0, *v = bpf_map_lookup_elem(&flows, &f);

	if (v)
		sum = __sync_fetch_and_add(v, 1);
	bpf_loop(4, each, &sum, 0);
	sum += middle(sum) + global_fn(ctx, &f, 3);
	misses += sum;
	bpf_tail_call(ctx, &jumps, 5);
	return sum & 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int tail_target(struct xdp_md *ctx)
{
	__u32 key = 1;
	void *in = bpf_map_lookup_elem(&outer, &key);

	if (in && bpf_map_lookup_elem(in, &key))
		return XDP_TX;
	return bpf_map_lookup_elem(&stats, &key) ? XDP_PASS : leaf(key);
}

SEC("xdp.frags/devmap")
int on_devmap(struct xdp_md *ctx)
{
	return ctx->egress_ifindex ? XDP_PASS : XDP_DROP;
}

SEC("?xdp")
int optional(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
__u32 VERSION SEC("version") = 0x060c00;
