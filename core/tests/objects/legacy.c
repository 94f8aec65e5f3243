// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// The older notation: struct bpf_map_def in a section "maps", no BTF, a section name of old examples.
// Built by: clang -O2 -target bpf -mcpu=v2 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c legacy.c
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))
static void *(*lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

struct bpf_map_def {
	unsigned int type, key_size, value_size, max_entries, map_flags;
	unsigned int inner_map_idx, numa_node;
};

struct bpf_map_def SEC("maps") first = {
	.type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 100, .map_flags = BPF_F_NO_PREALLOC,
};
struct bpf_map_def SEC("maps") second = {
	.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 16, .max_entries = 3,
};

SEC("xdp_prog")
int old_style(struct xdp_md *ctx)
{
	int key = 2;
	long *value = lookup(&second, &key);

	if (value)
		*value += 1;
	return lookup(&first, &key) ? XDP_DROP : XDP_PASS;
}

SEC("prog")
int older_style(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
