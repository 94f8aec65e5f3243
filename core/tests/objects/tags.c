// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Functions and what their declarations say: tags of arguments, hidden, weak and static ones, callbacks by symbol and by section; locks in global
// data; kernel functions, known and not. Built by:
// clang-19 -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c tags.c && llvm-strip-19 -g tags.o
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ARG(tag) __attribute__((btf_decl_tag("arg:" #tag)))
#define NOINLINE __attribute__((noinline))
#define HIDDEN __attribute__((visibility("hidden")))
#define private(name) SEC(".bss." #name) HIDDEN __attribute__((aligned(8)))

struct pair {
	__u32 a, b;
};

struct bpf_dynptr;

private(A) int before;
private(A) struct bpf_spin_lock lock;
private(A) int guarded;

struct guarded {
	int n;
	struct {
		struct bpf_spin_lock lock;
	} in;
	struct bpf_timer timer;
};

struct held {
	void __attribute__((btf_type_tag("kptr"))) *pointer;
};

#define MAP(name, kind, value_type)             \
	struct {                                \
		__uint(type, kind);             \
		__uint(max_entries, 1);         \
		__type(key, __u32);             \
		__type(value, value_type);      \
	} name SEC(".maps")

MAP(locked, BPF_MAP_TYPE_HASH, struct guarded);
MAP(unlocked, BPF_MAP_TYPE_PERCPU_HASH, struct guarded);
MAP(pointers, BPF_MAP_TYPE_HASH, struct held);
MAP(sockets, BPF_MAP_TYPE_SOCKMAP, __u32);

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, int *type) __ksym;
extern int bpf_xdp_metadata_rx_hash___weak(const struct xdp_md *ctx, __u32 *hash, int *type) __ksym __weak;
extern int maybe_there(struct xdp_md *ctx) __ksym __weak;

NOINLINE int tagged(void *ctx ARG(ctx), struct pair *some ARG(nonnull), struct pair *maybe, int n)
{
	return some->a + (maybe ? maybe->b : n);
}

NOINLINE int flavoured(struct xdp_md *ctx, const struct bpf_dynptr *d)
{
	return d ? ctx->rx_queue_index : 0;
}

NOINLINE int refused(struct pair *p ARG(trusted))
{
	return p ? p->a : 0;
}

HIDDEN NOINLINE int hidden(int n)
{
	return n * 3;
}

__weak NOINLINE int weak(int n)
{
	return n * 5;
}

NOINLINE long by_symbol(__u32 index, void *arg)
{
	*(__u64 *)arg += index;
	return 0;
}

static long by_section(__u32 index, void *arg)
{
	*(__u64 *)arg += 2 * index;
	return 0;
}

SEC("xdp")
int calls_all(struct xdp_md *ctx)
{
	struct pair p = { ctx->rx_queue_index, 1 };
	__u64 sum = 0;

	bpf_loop(3, by_symbol, &sum, 0);
	bpf_loop(3, by_section, &sum, 0);
	return tagged(ctx, &p, 0, hidden(p.a) + weak(p.b)) + sum;
}

SEC("xdp")
int calls_typed(struct xdp_md *ctx)
{
	struct bpf_dynptr *d = 0;
	struct pair *p = 0;

	asm volatile("" : "+r"(d), "+r"(p));
	return flavoured(ctx, d) + refused(p);
}

SEC("xdp")
int locks(struct xdp_md *ctx)
{
	__u32 key = 0;

	bpf_spin_lock(&lock);
	guarded += before;
	bpf_spin_unlock(&lock);
	return bpf_map_lookup_elem(&locked, &key) || bpf_map_lookup_elem(&unlocked, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int uses_pointers(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&pointers, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int uses_sockets(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&sockets, &key) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int calls_kernel(struct xdp_md *ctx)
{
	__u32 hash = 0;
	int type = 0;

	if (bpf_xdp_metadata_rx_hash___weak)
		return bpf_xdp_metadata_rx_hash___weak(ctx, &hash, &type);
	if (maybe_there)
		return maybe_there(ctx);
	return bpf_xdp_metadata_rx_hash(ctx, &hash, &type);
}

SEC("tc")
int of_another_type(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
