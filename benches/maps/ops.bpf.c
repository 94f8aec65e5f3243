// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/* One operation of a map, over and over: the same object in Linux and here. What to ask stands in the packet; `empty` is what the loop itself costs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* The packet. Keys are `first` and the `span` - 1 numbers behind it, in an order that `state` makes. */
struct ask {
	__u64 state, first, span, turns, sum;
};

#define MAP(kind, name, key_type, more)                                                                                        \
	struct {                                                                                                               \
		__uint(type, kind);                                                                                            \
		__uint(max_entries, 65536);                                                                                    \
		__type(key, key_type);                                                                                         \
		__type(value, __u64);                                                                                          \
		more                                                                                                           \
	} name SEC(".maps")

struct route {
	__u32 len, address;
};

MAP(BPF_MAP_TYPE_HASH, hash, __u64, );
MAP(BPF_MAP_TYPE_PERCPU_HASH, percpu_hash, __u64, );
MAP(BPF_MAP_TYPE_LRU_HASH, lru, __u64, );
MAP(BPF_MAP_TYPE_LPM_TRIE, lpm, struct route, __uint(map_flags, BPF_F_NO_PREALLOC););
MAP(BPF_MAP_TYPE_ARRAY, array, __u32, );
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, percpu_array, __u32, );

static __always_inline __u64 next(struct ask *a)
{
	a->state = a->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return ((a->state >> 32) * a->span >> 32) + a->first;
}

#define LOOP(name, what)                                                                                                       \
	static long name##_turn(__u64 i, struct ask *a)                                                                        \
	{                                                                                                                      \
		__u64 key __attribute__((unused)) = next(a);                                                                   \
		what;                                                                                                          \
		return 0;                                                                                                      \
	}                                                                                                                      \
	SEC("xdp") int name(struct xdp_md *ctx)                                                                                \
	{                                                                                                                      \
		struct ask *packet = (void *)(long)ctx->data, a;                                                               \
		if ((void *)(packet + 1) > (void *)(long)ctx->data_end)                                                        \
			return XDP_ABORTED;                                                                                    \
		a = *packet;                                                                                                   \
		bpf_loop(a.turns, name##_turn, &a, 0);                                                                         \
		*packet = a;                                                                                                   \
		return XDP_PASS;                                                                                               \
	}

#define LOOKUP(map, key)                                                                                                       \
	{                                                                                                                      \
		__u64 *value = bpf_map_lookup_elem(&map, &key);                                                                \
		if (value)                                                                                                     \
			a->sum += *value;                                                                                      \
	}

LOOP(empty, a->sum += key)
LOOP(hash_lookup, LOOKUP(hash, key))
LOOP(hash_update, bpf_map_update_elem(&hash, &key, &key, BPF_ANY))
LOOP(hash_replace, bpf_map_delete_elem(&hash, &key); bpf_map_update_elem(&hash, &key, &key, BPF_ANY))
LOOP(percpu_hash_lookup, LOOKUP(percpu_hash, key))
LOOP(percpu_hash_update, bpf_map_update_elem(&percpu_hash, &key, &key, BPF_ANY))
LOOP(lru_lookup, LOOKUP(lru, key))
LOOP(lru_update, bpf_map_update_elem(&lru, &key, &key, BPF_ANY))
LOOP(lru_evict, key = a->first++; bpf_map_update_elem(&lru, &key, &key, BPF_ANY))
LOOP(array_lookup, __u32 index = key; LOOKUP(array, index))
LOOP(percpu_array_lookup, __u32 index = key; LOOKUP(percpu_array, index))
LOOP(lpm_lookup, struct route r = { .len = 32 }; r.address = a->state >> 32; LOOKUP(lpm, r))

/* 15 of 16 are lookups. */
LOOP(hash_read_mostly, if (a->state >> 60) LOOKUP(hash, key) else bpf_map_update_elem(&hash, &key, &key, BPF_ANY))
/* Every second one is an update. */
LOOP(hash_write_heavy, if (a->state >> 63) LOOKUP(hash, key) else bpf_map_update_elem(&hash, &key, &key, BPF_ANY))

char LICENSE[] SEC("license") = "Dual MIT/GPL";
