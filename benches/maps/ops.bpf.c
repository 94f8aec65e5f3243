// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/* One operation of a map, over and over: the same object in Linux and here. What to ask stands in the packet; `empty` is what the loop itself costs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

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

MAP(BPF_MAP_TYPE_LRU_HASH, lru_lists, __u64, __uint(map_flags, BPF_F_NO_COMMON_LRU););
MAP(BPF_MAP_TYPE_LRU_PERCPU_HASH, percpu_lru, __u64, );

/* A map of values, or of nothing. */
#define LINE(kind, name, more)                                                                                                 \
	struct {                                                                                                               \
		__uint(type, kind);                                                                                            \
		__uint(max_entries, 65536);                                                                                    \
		more                                                                                                           \
	} name SEC(".maps")

LINE(BPF_MAP_TYPE_QUEUE, queue, __type(value, __u64););
LINE(BPF_MAP_TYPE_STACK, stack, __type(value, __u64););
LINE(BPF_MAP_TYPE_BLOOM_FILTER, bloom, __type(value, __u64););
LINE(BPF_MAP_TYPE_RINGBUF, ring, );

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps");

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

LOOP(lpm_update, struct route r = { .len = 24 }; r.address = bpf_htonl(key << 8); bpf_map_update_elem(&lpm, &r, &key, BPF_ANY))
LOOP(lpm_replace, struct route r = { .len = 24 }; r.address = bpf_htonl(key << 8); bpf_map_delete_elem(&lpm, &r);
     bpf_map_update_elem(&lpm, &r, &key, BPF_ANY))
LOOP(lpm_miss, struct route r = { .len = 32 }; r.address = bpf_htonl(0xf0000000 | key); LOOKUP(lpm, r))
LOOP(lru_lists_update, bpf_map_update_elem(&lru_lists, &key, &key, BPF_ANY))
LOOP(lru_lists_evict, key = a->first++; bpf_map_update_elem(&lru_lists, &key, &key, BPF_ANY))
LOOP(percpu_lru_lookup, LOOKUP(percpu_lru, key))
LOOP(percpu_lru_update, bpf_map_update_elem(&percpu_lru, &key, &key, BPF_ANY))
LOOP(queue_turn, bpf_map_push_elem(&queue, &key, BPF_ANY); bpf_map_pop_elem(&queue, &key); a->sum += key)
LOOP(stack_turn, bpf_map_push_elem(&stack, &key, BPF_ANY); bpf_map_pop_elem(&stack, &key); a->sum += key)
LOOP(bloom_push, bpf_map_push_elem(&bloom, &key, BPF_ANY))
LOOP(bloom_peek, a->sum += bpf_map_peek_elem(&bloom, &key))
LOOP(ring_output, bpf_ringbuf_output(&ring, &key, sizeof(key), BPF_RB_NO_WAKEUP))
LOOP(redirect_map, a->sum += bpf_redirect_map(&ports, 0, XDP_PASS))
LOOP(inner_lookup, __u32 zero = 0; void *map = bpf_map_lookup_elem(&outer, &zero); if (map) {
	__u64 *value = bpf_map_lookup_elem(map, &zero);
	if (value)
		a->sum += *value;
})

static long one(void *map, const void *key, __u64 *value, struct ask *a)
{
	a->sum += *value;
	return 0;
}

/* As many turns as the hash has elements. */
SEC("xdp") int hash_each(struct xdp_md *ctx)
{
	struct ask *packet = (void *)(long)ctx->data, a;
	if ((void *)(packet + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	a = *packet;
	bpf_for_each_map_elem(&hash, one, &a, 0);
	*packet = a;
	return XDP_PASS;
}

/* 15 of 16 are lookups. */
LOOP(lru_read_mostly, if (a->state >> 60) LOOKUP(lru, key) else bpf_map_update_elem(&lru, &key, &key, BPF_ANY))
LOOP(hash_read_mostly, if (a->state >> 60) LOOKUP(hash, key) else bpf_map_update_elem(&hash, &key, &key, BPF_ANY))
/* Every second one is an update. */
LOOP(hash_write_heavy, if (a->state >> 63) LOOKUP(hash, key) else bpf_map_update_elem(&hash, &key, &key, BPF_ANY))

char LICENSE[] SEC("license") = "Dual MIT/GPL";
