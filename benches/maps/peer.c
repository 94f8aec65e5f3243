/* DPDK's tables behind loops of our own shape: one call a chunk, so that what is timed is the table alone. Compiled when the benchmark starts. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_lcore.h>
#include <rte_lpm.h>
#include <rte_malloc.h>

#define BURST 32

/* Memory in megabytes; with hugepages where `huge`. 0, or a negative errno. */
int peer_init(const char *megabytes, int huge)
{
	char *argv[] = { "uxdp-map-benches", "--no-pci", huge ? "--in-memory" : "--no-shconf", "--no-telemetry", "--log-level=4", "-l", "0",
			 "-m", (char *)megabytes, huge ? NULL : "--no-huge", NULL };

	return rte_eal_init(huge ? 9 : 10, argv) < 0 ? -rte_errno : 0;
}

/* A thread that asks shared tables needs a number of EAL's. */
void peer_thread(int begins)
{
	if (begins)
		rte_thread_register();
	else
		rte_thread_unregister();
}

/* Twice the room, as its documentation advises for full tables; lock-free readers and several writers where `shared`. */
void *peer_hash(uint32_t entries, int shared)
{
	static int number;
	char name[32];
	struct rte_hash_parameters p = {
		.name = name, .entries = entries * 5 / 4 + 64, .key_len = sizeof(uint64_t), .socket_id = SOCKET_ID_ANY,
		.extra_flag = shared ? RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_MULTI_WRITER_ADD : 0,
	};

	snprintf(name, sizeof(name), "hash%d", number++);
	return rte_hash_create(&p);
}

void peer_hash_free(void *h)
{
	rte_hash_free(h);
}

/* What the allocator gave out since `before` was asked: 0 asks. */
uint64_t peer_memory(void)
{
	struct rte_malloc_socket_stats stats = { 0 };

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

int peer_hash_add(void *h, const uint64_t *keys, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int status = rte_hash_add_key_data(h, keys + i, (void *)(uintptr_t)(keys[i] | 1));

		if (status < 0)
			return status;
	}
	return 0;
}

uint64_t peer_hash_lookup(void *h, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		void *data;

		if (rte_hash_lookup_data(h, keys + i, &data) >= 0)
			sum += (uintptr_t)data;
	}
	return sum;
}

uint64_t peer_hash_burst(void *h, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + BURST <= n; i += BURST) {
		const void *pointers[BURST];
		void *data[BURST];
		uint64_t hits = 0;

		for (int k = 0; k < BURST; k++)
			pointers[k] = keys + i + k;
		rte_hash_lookup_bulk_data(h, pointers, BURST, &hits, data);
		for (; hits; hits &= hits - 1)
			sum += (uintptr_t)data[__builtin_ctzll(hits)];
	}
	return sum;
}

void peer_hash_replace(void *h, const uint64_t *keys, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		rte_hash_del_key(h, keys + i);
		rte_hash_add_key_data(h, keys + i, (void *)(uintptr_t)(keys[i] | 1));
	}
}

void *peer_lpm(uint32_t routes, uint32_t tbl8s)
{
	static int number;
	char name[32];
	struct rte_lpm_config config = { .max_rules = routes, .number_tbl8s = tbl8s };

	snprintf(name, sizeof(name), "lpm%d", number++);
	return rte_lpm_create(name, SOCKET_ID_ANY, &config);
}

void peer_lpm_free(void *l)
{
	rte_lpm_free(l);
}

int peer_lpm_add(void *l, uint32_t address, uint8_t depth, uint32_t hop)
{
	return rte_lpm_add(l, address, depth, hop);
}

/* A value for each route, as an application keeps beside rte_lpm what its own next hops do not say. */
static const uint64_t *values;

void peer_lpm_values(const uint64_t *v)
{
	values = v;
}

/* `keys` are a length of four bytes and an address in network order. */
uint64_t peer_lpm_lookup(void *l, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t hop;

		if (rte_lpm_lookup(l, __builtin_bswap32(keys[i] >> 32), &hop) == 0)
			sum += hop;
	}
	return sum;
}

uint64_t peer_lpm_lookup_value(void *l, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t hop;

		if (rte_lpm_lookup(l, __builtin_bswap32(keys[i] >> 32), &hop) == 0)
			sum += values[hop];
	}
	return sum;
}

uint64_t peer_lpm_burst(void *l, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + BURST <= n; i += BURST) {
		uint32_t addresses[BURST], hops[BURST];

		for (int k = 0; k < BURST; k++)
			addresses[k] = __builtin_bswap32(keys[i + k] >> 32);
		rte_lpm_lookup_bulk(l, addresses, hops, BURST);
		for (int k = 0; k < BURST; k++)
			if (hops[k] & RTE_LPM_LOOKUP_SUCCESS)
				sum += hops[k] & 0xffffff;
	}
	return sum;
}

uint64_t peer_lpm_burst_value(void *l, const uint64_t *keys, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + BURST <= n; i += BURST) {
		uint32_t addresses[BURST], hops[BURST];

		for (int k = 0; k < BURST; k++)
			addresses[k] = __builtin_bswap32(keys[i + k] >> 32);
		rte_lpm_lookup_bulk(l, addresses, hops, BURST);
		for (int k = 0; k < BURST; k++)
			if (hops[k] & RTE_LPM_LOOKUP_SUCCESS)
				sum += values[hops[k] & 0xffffff];
	}
	return sum;
}
