/* SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0) */
/*
 * What programs of xdp_progs include, for a native compiler: map definitions as plain variables, lookups on memory of the host's.
 *
 * The benchmark writes a struct native_map over each definition before the first packet: with the address of the values where the
 * map is an array, else with a handle for the two functions.
 */
#ifndef NATIVE_BPF_HELPERS_H
#define NATIVE_BPF_HELPERS_H

#include <linux/types.h>
#include <stddef.h>

#define SEC(name) __attribute__((used))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name

struct native_map {
	unsigned char *base;
	__u64 stride;
	__u64 entries;
	void *handle;
};

void *(*native_lookup)(void *map, const void *key);
long (*native_update)(void *map, const void *key, const void *value, __u64 flags);

__u64 (*native_csum_diff)(__u64 from, __u64 from_size, __u64 to, __u64 to_size, __u64 seed);

static __always_inline __s64 bpf_csum_diff(__be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __u32 seed)
{
	return native_csum_diff((__u64)from, from_size, (__u64)to, to_size, seed);
}

static __always_inline void *bpf_map_lookup_elem(void *map, const void *key)
{
	const struct native_map *m = map;
	__u32 index;

	if (!m->base)
		return native_lookup(m->handle, key);
	index = *(const __u32 *)key;
	return index < m->entries ? m->base + index * m->stride : (void *)0;
}

static __always_inline long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	return native_update(((const struct native_map *)map)->handle, key, value, flags);
}

#endif
