// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * walk: what bpf_for_each_map_elem shows of each type of map, what it returns, and that its callback may delete.
 *
 * Maps: results (ARRAY), one number a case; one of each type that can be walked. Helpers: bpf_for_each_map_elem, bpf_loop. Expect: XDP_PASS.
 * The packet's first byte is how many keys the hashes get.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(NAME, TYPE, KEY, VALUE)                                                                                    \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##TYPE);                                                                     \
		__uint(max_entries, 64);                                                                               \
		__type(key, KEY);                                                                                      \
		__type(value, VALUE);                                                                                  \
	} NAME SEC(".maps")

struct value {
	__u64 a;
	__u32 b;
	__u32 c;
};

MAP(results, ARRAY, __u32, __u64);
MAP(array, ARRAY, __u32, struct value);
MAP(percpu_array, PERCPU_ARRAY, __u32, __u64);
MAP(hash, HASH, __u64, struct value);
MAP(percpu_hash, PERCPU_HASH, __u32, __u64);
MAP(lru, LRU_HASH, __u32, __u64);
MAP(lru_percpu, LRU_PERCPU_HASH, __u32, __u64);

static void note(__u32 at, __u64 number)
{
	__u64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place += number;
}

struct state {
	__u64 keys;
	__u64 values;
	__u64 turns;
	__u64 stop_after;
};

static long of_values(void *map, __u32 *key, struct value *value, struct state *s)
{
	s->keys += *key + 1;
	s->values += value->a + value->b;
	value->c += *key;
	return ++s->turns == s->stop_after;
}

static long of_numbers(void *map, __u32 *key, __u64 *value, struct state *s)
{
	s->keys += *key + 1;
	s->values += *value;
	*value += 2;
	return ++s->turns == s->stop_after;
}

static long of_hash(void *map, __u64 *key, struct value *value, struct state *s)
{
	s->keys += *key ^ 0x55;
	s->values += value->a * 3 + value->b;
	value->c++;
	return ++s->turns == s->stop_after;
}

/* Which elements a walk shows first is the map's affair. */
static long only_counts(void *map, __u64 *key, struct value *value, struct state *s)
{
	return ++s->turns == s->stop_after;
}

static long deletes_odd(void *map, __u64 *key, struct value *value, struct state *s)
{
	__u64 k = *key;

	s->turns++;
	if (k & 1)
		s->keys += bpf_map_delete_elem(&hash, &k) == 0;
	return 0;
}

static long deletes_by_map(void *map, __u32 *key, __u64 *value, struct state *s)
{
	s->turns++;
	bpf_map_delete_elem(map, key);
	return 0;
}

static long pairs(void *map, __u64 *key, struct value *value, struct state *s)
{
	struct state mine = { .turns = s->turns, .stop_after = 1000 };

	s->values += bpf_for_each_map_elem(&array, of_values, &mine, 0);
	s->keys += mine.keys;
	return 0;
}

static long fill(__u64 turn, void *none)
{
	__u32 i = turn;
	struct value v = { .a = i * 7, .b = i };
	__u64 key = i * 0x10001, number = i + 5;

	bpf_map_update_elem(&array, &i, &v, 0);
	bpf_map_update_elem(&percpu_array, &i, &number, 0);
	bpf_map_update_elem(&hash, &key, &v, 0);
	bpf_map_update_elem(&percpu_hash, &i, &number, 0);
	bpf_map_update_elem(&lru, &i, &number, 0);
	bpf_map_update_elem(&lru_percpu, &i, &number, 0);
	return 0;
}

SEC("xdp")
int walk(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	/* Nothing that the verifier knows: else it counts the turns. */
	__u64 zero = ctx->rx_queue_index;
	struct state s = { .turns = zero, .stop_after = 1000 };
	__u32 n;

	if (data + 1 > data_end)
		return XDP_DROP;
	n = data[0] & 31;
	bpf_loop(n, fill, 0, 0);
	note(0, bpf_for_each_map_elem(&array, of_values, &s, 0));
	note(1, bpf_for_each_map_elem(&percpu_array, of_numbers, &s, 0));
	note(2, s.keys);
	note(3, s.values);
	note(4, bpf_for_each_map_elem(&hash, of_hash, &s, 0));
	note(5, bpf_for_each_map_elem(&percpu_hash, of_numbers, &s, 0));
	note(6, bpf_for_each_map_elem(&lru, of_numbers, &s, 0));
	note(7, bpf_for_each_map_elem(&lru_percpu, of_numbers, &s, 0));
	note(8, s.keys);
	note(9, s.values);
	note(10, bpf_for_each_map_elem(&hash, of_hash, &s, n + 1));
	s.turns = zero;
	s.stop_after = 3;
	note(11, bpf_for_each_map_elem(&array, of_values, &s, 0));
	s.turns = zero;
	note(12, bpf_for_each_map_elem(&hash, only_counts, &s, 0));
	s.keys = s.values = s.turns = zero;
	note(13, bpf_for_each_map_elem(&hash, deletes_odd, &s, 0));
	note(14, s.keys);
	note(15, s.turns);
	note(16, bpf_for_each_map_elem(&hash, pairs, &s, 0));
	note(17, s.keys);
	note(18, s.values);
	note(19, bpf_for_each_map_elem(&lru, deletes_by_map, &s, 0));
	note(20, bpf_for_each_map_elem(&lru, deletes_by_map, &s, 0));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
