// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_hash_sum: add up the first 60 bytes, hash the sum, send the packet back with the hash in it.
 *
 * Maps: none. Helpers: none.
 * Expect: XDP_TX; bytes 6 to 9 (in the source MAC address) hold, least significant byte first, the xxHash32
 * with seed 0 of the sum's four bytes (least significant first). The sum is taken before anything is written.
 * A packet of fewer than 60 bytes is XDP_PASS, untouched.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SUMMED_BYTES 60
#define HASH_OFFSET 6

#define XXH_PRIME_1 2654435761U
#define XXH_PRIME_2 2246822519U
#define XXH_PRIME_3 3266489917U
#define XXH_PRIME_4 668265263U
#define XXH_PRIME_5 374761393U

static __always_inline __u32 rotate_left(__u32 x, int by)
{
	return x << by | x >> (32 - by);
}

/* xxHash32 of one 32-bit word: the path that the specification gives inputs under 16 bytes. */
static __always_inline __u32 xxhash32_of_word(__u32 word, __u32 seed)
{
	__u32 h = seed + XXH_PRIME_5 + sizeof(word);

	h += word * XXH_PRIME_3;
	h = rotate_left(h, 17) * XXH_PRIME_4;
	h ^= h >> 15;
	h *= XXH_PRIME_2;
	h ^= h >> 13;
	h *= XXH_PRIME_3;
	h ^= h >> 16;
	return h;
}

SEC("xdp")
int xdp_hash_sum(struct xdp_md *ctx)
{
	__u8 *data_end = (void *)(long)ctx->data_end;
	__u8 *data = (void *)(long)ctx->data;
	__u32 sum = 0;
	__u32 hash;
	int i;

	if (data + SUMMED_BYTES > data_end)
		return XDP_PASS;
	for (i = 0; i < SUMMED_BYTES; i++)
		sum += data[i];

	hash = xxhash32_of_word(sum, 0);
	data[HASH_OFFSET] = hash;
	data[HASH_OFFSET + 1] = hash >> 8;
	data[HASH_OFFSET + 2] = hash >> 16;
	data[HASH_OFFSET + 3] = hash >> 24;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
