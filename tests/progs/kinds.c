// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * kinds: a step with each type of map that is no array and no hash. The packet's first four bytes are an address.
 *
 * Maps: ARRAY_OF_MAPS with two static ARRAYs, HASH_OF_MAPS, LPM_TRIE, QUEUE, RINGBUF, PERF_EVENT_ARRAY, DEVMAP. Helpers: map access, push, redirect_map,
 * ringbuf_reserve and _submit, perf_event_output.
 * Expect: the inner array that the address's lowest bit names counts the packet; the address goes into the queue, the ring (with the route's value, 0 for none)
 * and the perf ring; XDP_REDIRECT to the device that the route's value names, XDP_DROP without a route or device.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
};

struct inner even SEC(".maps"), odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} counters SEC(".maps") = {
	.values = { &even, &odd },
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
	__array(values, struct inner);
} by_address SEC(".maps");

struct prefix {
	__u32 len;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u32);
} seen SEC(".maps");

struct event {
	__u32 address;
	__u32 route;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

static __always_inline void count(void *inner)
{
	__u32 zero = 0;
	__u64 *value = inner ? bpf_map_lookup_elem(inner, &zero) : 0;

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("xdp")
int kinds(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	struct prefix key = { .len = 32 };
	struct event *event;
	__u32 address, which, route = 0, *found;

	if (data + 4 > data_end)
		return XDP_DROP;
	__builtin_memcpy(key.address, data, 4);
	__builtin_memcpy(&address, data, 4);
	which = data[3] & 1;
	count(bpf_map_lookup_elem(&counters, &which));
	count(bpf_map_lookup_elem(&by_address, &address));
	found = bpf_map_lookup_elem(&routes, &key);
	if (found)
		route = *found;
	bpf_map_push_elem(&seen, &address, BPF_EXIST);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->address = address;
		event->route = route;
		bpf_ringbuf_submit(event, 0);
	}
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &address, sizeof(address));
	if (!found)
		return XDP_DROP;
	return bpf_redirect_map(&devices, route, XDP_DROP);
}

char _license[] SEC("license") = "GPL";
