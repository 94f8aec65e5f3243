// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * locks: values under a lock, in an array and a hash; updates with and without BPF_F_LOCK, with every other flag.
 *
 * Maps: results (ARRAY), one number a case; array (ARRAY) and hash (HASH) of values with a lock; plain (ARRAY), unlocked (HASH), lru
 * (LRU_HASH) and percpu (PERCPU_ARRAY) without one. Helpers: bpf_spin_lock, bpf_spin_unlock, bpf_map_update_elem. Expect: XDP_PASS, or XDP_DROP for an empty
 * packet; the packet's first byte is a key.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value {
	__u64 before;
	struct bpf_spin_lock lock;
	__u32 half;
	__u64 sum;
	__u8 tail[5];
};

#define MAP(NAME, TYPE, VALUE)                                                                                         \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##TYPE);                                                                     \
		__uint(max_entries, 64);                                                                               \
		__type(key, __u32);                                                                                    \
		__type(value, VALUE);                                                                                  \
	} NAME SEC(".maps")

MAP(results, ARRAY, __u64);
MAP(array, ARRAY, struct value);
MAP(hash, HASH, struct value);
MAP(plain, ARRAY, __u64);
MAP(unlocked, HASH, __u64);
MAP(lru, LRU_HASH, __u64);
MAP(percpu, PERCPU_ARRAY, __u64);

static void note(__u32 at, __u64 number)
{
	__u64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place = *place * 3 + number;
}

static void change(struct value *v, __u32 by)
{
	bpf_spin_lock(&v->lock);
	v->sum += by;
	v->half ^= v->sum;
	v->tail[4]++;
	bpf_spin_unlock(&v->lock);
}

SEC("xdp")
int locks(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	struct value fresh = { .before = 0x1122334455667788, .half = 7, .sum = 99, .tail = { 1, 2, 3, 4, 5 } };
	__u64 number = 5;
	struct value *v;
	__u32 key;

	if (data + 1 > data_end)
		return XDP_DROP;
	key = data[0];
	v = bpf_map_lookup_elem(&array, &key);
	if (v)
		change(v, key + 3);
	v = bpf_map_lookup_elem(&hash, &key);
	if (v)
		change(v, key + 5);
	note(0, bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK));
	note(1, bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK | BPF_NOEXIST));
	note(2, bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK | BPF_EXIST));
	note(3, bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK | 3));
	note(4, bpf_map_update_elem(&array, &key, &fresh, 0));
	note(5, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_EXIST));
	note(6, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_NOEXIST));
	note(7, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_NOEXIST));
	v = bpf_map_lookup_elem(&hash, &key);
	if (v)
		change(v, key + 7);
	fresh.sum = 1000;
	note(8, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | BPF_EXIST));
	if (v)
		change(v, key + 11);
	note(9, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | 3));
	note(10, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK | 8));
	note(11, bpf_map_update_elem(&plain, &key, &number, BPF_F_LOCK));
	note(12, bpf_map_update_elem(&unlocked, &key, &number, BPF_F_LOCK));
	note(13, bpf_map_update_elem(&lru, &key, &number, BPF_F_LOCK));
	note(14, bpf_map_update_elem(&percpu, &key, &number, BPF_F_LOCK));
	note(15, bpf_map_update_elem(&percpu, &key, &number, BPF_F_LOCK | BPF_NOEXIST));
	key += 100;
	note(16, bpf_map_update_elem(&array, &key, &fresh, BPF_F_LOCK));
	note(17, bpf_map_update_elem(&hash, &key, &fresh, BPF_F_LOCK));
	v = bpf_map_lookup_elem(&hash, &key);
	if (v)
		change(v, 1);
	fresh.half = 8;
	if (key & 1)
		note(18, bpf_map_update_elem(&hash, &key, &fresh, 0));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
