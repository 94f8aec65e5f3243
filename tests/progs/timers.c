// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * timers: everything that a timer can be asked, in an array, a hash and an LRU hash; callbacks that start again, cancel themselves, delete
 * their element.
 *
 * Maps: results (ARRAY), one number a question; array, hash, lru of values with a timer. Helpers: bpf_timer_init, _set_callback, _start,
 * _cancel. Expect: XDP_PASS, or XDP_DROP for a short packet. The packet's first byte says what is asked, the second one is the key.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7
#define BPF_F_TIMER_ABS 1
#define BPF_F_TIMER_CPU_PIN 2

struct value {
	__u64 count;
	__u32 again;
	__u32 what;
	struct bpf_timer timer;
	__u64 noted;
};

#define MAP(NAME, TYPE, VALUE)                                                                                         \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_##TYPE);                                                                     \
		__uint(max_entries, 8);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, VALUE);                                                                                  \
	} NAME SEC(".maps")

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");
MAP(array, ARRAY, struct value);
MAP(hash, HASH, struct value);
MAP(lru, LRU_HASH, struct value);

static void note(__u32 at, __u64 number)
{
	__u64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place = *place * 5 + number;
}

static int expired(void *map, __u32 *key, struct value *v)
{
	v->count++;
	v->noted = v->noted * 7 + *key;
	if (v->again) {
		v->again--;
		bpf_timer_start(&v->timer, 1000000, 0);
	}
	return 0;
}

static int cancels(void *map, __u32 *key, struct value *v)
{
	v->count += 100;
	v->noted = bpf_timer_cancel(&v->timer);
	return 0;
}

static int deletes(void *map, __u32 *key, struct value *v)
{
	v->count += 1000;
	note(60, bpf_map_delete_elem(map, key));
	return 0;
}

static __always_inline void ask(void *map, struct value *v, __u32 what, __u32 at)
{
	switch (what) {
	case 0:
		note(at, bpf_timer_cancel(&v->timer));
		note(at + 1, bpf_timer_start(&v->timer, 0, 0));
		note(at + 2, bpf_timer_set_callback(&v->timer, expired));
		break;
	case 2:
		note(at + 4, bpf_timer_start(&v->timer, 0, 0));
		note(at + 5, bpf_timer_set_callback(&v->timer, expired));
		note(at + 6, bpf_timer_start(&v->timer, 0, 4));
		note(at + 7, bpf_timer_start(&v->timer, 1000000, 0));
		break;
	case 3:
		note(at + 8, bpf_timer_start(&v->timer, 3600000000000ULL, 0));
		break;
	case 4:
		note(at + 9, bpf_timer_cancel(&v->timer));
		break;
	case 5:
		note(at + 10, bpf_timer_set_callback(&v->timer, cancels));
		note(at + 11, bpf_timer_start(&v->timer, 1, 0));
		break;
	case 6:
		note(at + 12, bpf_timer_set_callback(&v->timer, deletes));
		note(at + 13, bpf_timer_start(&v->timer, 0, 0));
		break;
	case 7:
		v->again = 3;
		note(at + 14, bpf_timer_set_callback(&v->timer, expired));
		note(at + 15, bpf_timer_start(&v->timer, bpf_ktime_get_ns() + 1000000, BPF_F_TIMER_ABS));
		break;
	case 8:
		note(at + 16, bpf_timer_set_callback(&v->timer, expired));
		note(at + 17, bpf_timer_start(&v->timer, 1, BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN));
		break;
	case 9:
		note(at + 18, bpf_timer_start(&v->timer, -1ULL, 0));
		break;
	}
}

SEC("xdp")
int timers(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	struct value fresh = {}, *v;
	__u32 what, key;

	if (data + 2 > data_end)
		return XDP_DROP;
	what = data[0];
	key = data[1] & 7;
	if (what == 10) {
		note(40, bpf_map_update_elem(&array, &key, &fresh, 0));
		note(41, bpf_map_update_elem(&hash, &key, &fresh, 0));
		note(42, bpf_map_update_elem(&lru, &key, &fresh, 0));
		return XDP_PASS;
	}
	if (what == 11) {
		note(43, bpf_map_delete_elem(&hash, &key));
		note(44, bpf_map_delete_elem(&lru, &key));
		return XDP_PASS;
	}
	v = bpf_map_lookup_elem(&array, &key);
	if (v && what == 1) {
		note(50, bpf_timer_init(&v->timer, &array, 2));
		note(51, bpf_timer_init(&v->timer, &array, 16));
		note(52, bpf_timer_init(&v->timer, &array, CLOCK_MONOTONIC));
		note(53, bpf_timer_init(&v->timer, &array, CLOCK_MONOTONIC));
	} else if (v) {
		ask(&array, v, what, 0);
	}
	v = bpf_map_lookup_elem(&hash, &key);
	if (v && what == 1) {
		note(54, bpf_timer_init(&v->timer, &hash, CLOCK_BOOTTIME));
		note(55, bpf_timer_init(&v->timer, &hash, CLOCK_BOOTTIME));
	} else if (v) {
		ask(&hash, v, what, 20);
	}
	v = bpf_map_lookup_elem(&lru, &key);
	if (v && what == 1)
		note(56, bpf_timer_init(&v->timer, &lru, CLOCK_MONOTONIC));
	else if (v && what == 2) {
		note(57, bpf_timer_set_callback(&v->timer, expired));
		note(58, bpf_timer_start(&v->timer, 1000000, 0));
	} else if (v && what == 3) {
		note(59, bpf_timer_start(&v->timer, 3600000000000ULL, 0));
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
