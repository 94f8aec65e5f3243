/* Maps beyond one key and one value: batches KINDS.o EGRESS.o */
#include <errno.h>
#include <string.h>

#include <uxdp.h>

#include "check.h"

enum { HASH = 1, ARRAY = 2, PERCPU_HASH = 5, LPM_TRIE = 11, ARRAY_OF_MAPS = 12, HASH_OF_MAPS = 13, QUEUE = 22, STACK = 23, BLOOM_FILTER = 30, NO_PREALLOC = 1, NOTSUPP = 524 };

static struct uxdp_map *map_of(uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t flags)
{
	UXDP_STRUCT(uxdp_map_spec, spec, .name = "m", .type = type, .key_size = key_size, .value_size = value_size,
		    .max_entries = 100, .flags = flags);
	struct uxdp_map *map = NULL;

	CHECK(uxdp_map_create(NULL, &spec, &map) == 0);
	return map;
}

static void batches(void)
{
	struct uxdp_map *map = map_of(HASH, 4, 8, 0), *array = map_of(ARRAY, 4, 8, 0);
	uint32_t keys[100], cursor, n = 100, seen = 0;
	uint64_t values[100], sum = 0;

	for (uint32_t i = 0; i < 100; i++) {
		keys[i] = 7 * i;
		values[i] = i;
	}
	CHECK(uxdp_map_update_batch(map, keys, values, &n, 0) == 0 && n == 100);
	CHECK(uxdp_map_update_batch(map, keys, values, &n, 64) == -EINVAL);
	CHECK(uxdp_map_update_batch(map, keys, NULL, &n, 0) == -EINVAL && uxdp_map_update_batch(map, keys, values, NULL, 0) == -EINVAL);
	memset(keys, 0xff, sizeof(keys));
	for (int status = 0, first = 1; status == 0; first = 0) {
		n = 30;
		status = uxdp_map_lookup_batch(map, first ? NULL : &cursor, &cursor, keys, values, &n, 0);
		CHECK(status == 0 || status == -ENOENT);
		for (uint32_t i = 0; i < n; i++) {
			CHECK(keys[i] == 7 * values[i]);
			sum += values[i];
		}
		seen += n;
	}
	CHECK(seen == 100 && sum == 4950);
	CHECK(uxdp_map_lookup_batch(map, NULL, NULL, keys, values, &n, 0) == -EINVAL);
	n = 40;
	CHECK(uxdp_map_lookup_and_delete_batch(map, NULL, &cursor, keys, values, &n, 0) == 0 && n == 40);
	CHECK(uxdp_map_lookup_elem(map, &keys[0], values, 0) == -ENOENT);
	n = 1;
	CHECK(uxdp_map_delete_batch(map, keys, &n, 0) == -ENOENT && n == 0);
	n = 100;
	CHECK(uxdp_map_lookup_batch(map, NULL, &cursor, keys, values, &n, 0) == -ENOENT && n == 60);
	CHECK(uxdp_map_delete_batch(map, keys, &n, 0) == 0 && n == 60);
	CHECK(uxdp_map_get_next_key(map, NULL, keys) == -ENOENT);
	n = 10;
	CHECK(uxdp_map_delete_batch(array, keys, &n, 0) == -NOTSUPP);
	n = 100;
	CHECK(uxdp_map_lookup_batch(array, NULL, &cursor, keys, values, &n, 0) == 0 && n == 100 && keys[99] == 99);
	uxdp_map_unref(array);
	uxdp_map_unref(map);
}

static void one_by_one(void)
{
	struct uxdp_map *map = map_of(PERCPU_HASH, 4, 4, 0), *queue = map_of(QUEUE, 0, 8, 0);
	UXDP_STRUCT(uxdp_map_info, info);
	uint32_t key = 5, value = 77, all[2 * 256];

	CHECK(uxdp_map_get_info(map, &info) == 0 && info.value_buf_size <= sizeof(all));
	CHECK(uxdp_map_lookup_elem_cpu(map, &key, 0, &value) == -ENOENT);
	value = 77;
	CHECK(uxdp_map_update_elem_cpu(map, &key, info.nr_cpus - 1, &value, 0) == 0);
	CHECK(uxdp_map_update_elem_cpu(map, &key, info.nr_cpus, &value, 0) == -ERANGE);
	CHECK(uxdp_map_update_elem_cpu(map, &key, 0, &value, 1) == -EEXIST);
	CHECK(uxdp_map_lookup_elem_cpu(map, &key, info.nr_cpus - 1, &value) == 0 && value == 77);
	CHECK(uxdp_map_lookup_elem_cpu(map, &key, info.nr_cpus, &value) == -ERANGE);
	CHECK(uxdp_map_lookup_and_delete_elem(map, &key, all, 0) == 0 && all[2 * (info.nr_cpus - 1)] == 77);
	CHECK(info.nr_cpus == 1 || all[0] == 0);
	CHECK(uxdp_map_lookup_and_delete_elem(map, &key, all, 0) == -ENOENT);
	CHECK(uxdp_map_lookup_and_delete_elem(map, NULL, all, 0) == -EINVAL);
	CHECK(uxdp_map_update_elem(map, NULL, all, 0) == -EINVAL && uxdp_map_lookup_elem(map, NULL, all, 0) == -EINVAL);
	CHECK(uxdp_map_prefetch(map, &key) == 0 && uxdp_map_prefetch(queue, NULL) == 0);
	CHECK(uxdp_map_prefetch(map, NULL) == -EINVAL && uxdp_map_prefetch(NULL, &key) == -EINVAL);
	uxdp_map_unref(queue);
	uxdp_map_unref(map);
}

/* What has no keys takes NULL, as bpf(2). */
static void without_keys(void)
{
	struct uxdp_map *queue = map_of(QUEUE, 0, 8, 0), *stack = map_of(STACK, 0, 8, 0), *filter = map_of(BLOOM_FILTER, 0, 8, 0);
	struct uxdp_map *both[] = { queue, stack };
	uint64_t value;

	for (int i = 0; i < 2; i++) {
		CHECK(uxdp_map_lookup_elem(both[i], NULL, &value, 0) == -ENOENT);
		for (uint64_t v = 1; v <= 3; v++)
			CHECK(uxdp_map_update_elem(both[i], NULL, &v, 0) == 0);
		CHECK(uxdp_map_lookup_elem(both[i], NULL, &value, 0) == 0 && value == (i ? 3 : 1));
		CHECK(uxdp_map_lookup_and_delete_elem(both[i], NULL, &value, 0) == 0 && value == (i ? 3 : 1));
		CHECK(uxdp_map_lookup_elem(both[i], NULL, &value, 0) == 0 && value == 2);
		CHECK(uxdp_map_lookup_elem(both[i], NULL, NULL, 0) == -EINVAL && uxdp_map_update_elem(both[i], NULL, NULL, 0) == -EINVAL);
		CHECK(uxdp_map_lookup_elem(both[i], &value, &value, 0) == -EINVAL && uxdp_map_update_elem(both[i], &value, &value, 0) == -EINVAL);
		CHECK(uxdp_map_lookup_and_delete_elem(both[i], &value, &value, 0) == -EINVAL);
		CHECK(uxdp_map_delete_elem(both[i], NULL) == -EINVAL);
	}
	value = 77;
	CHECK(uxdp_map_lookup_elem(filter, NULL, &value, 0) == -ENOENT && uxdp_map_update_elem(filter, NULL, &value, 0) == 0);
	CHECK(uxdp_map_lookup_elem(filter, NULL, &value, 0) == 0 && value == 77);
	CHECK(uxdp_map_lookup_elem(filter, &value, &value, 0) == -EINVAL);
	uxdp_map_unref(filter);
	uxdp_map_unref(stack);
	uxdp_map_unref(queue);
}

/* The cursor of a trie is a key. */
static void tries_in_batches(void)
{
	struct uxdp_map *trie = map_of(LPM_TRIE, 20, 8, NO_PREALLOC);
	struct { uint32_t len, address[4]; } keys[100] = { 0 }, cursor;
	uint64_t values[100];
	uint32_t n = 100, seen = 0;

	for (uint32_t i = 0; i < 100; i++) {
		keys[i].len = 128, keys[i].address[3] = i;
		values[i] = i;
	}
	CHECK(uxdp_map_update_batch(trie, keys, values, &n, 0) == 0 && n == 100);
	for (int status = 0, first = 1; status == 0; first = 0) {
		n = 30;
		status = uxdp_map_lookup_batch(trie, first ? NULL : &cursor, &cursor, keys, values, &n, 0);
		CHECK(status == 0 || status == -ENOENT);
		for (uint32_t i = 0; i < n; i++)
			CHECK(keys[i].len == 128 && keys[i].address[3] == values[i]);
		CHECK(n == 0 || memcmp(&cursor, &keys[n - 1], sizeof(cursor)) == 0);
		seen += n;
	}
	CHECK(seen == 100);
	n = 30;
	CHECK(uxdp_map_lookup_and_delete_batch(trie, NULL, &cursor, keys, values, &n, 0) == -NOTSUPP);
	CHECK(uxdp_map_lookup_batch(trie, NULL, &cursor, keys, values, &n, 0) == 0 && n == 30);
	CHECK(uxdp_map_delete_batch(trie, keys, &n, 0) == 0 && n == 30);
	CHECK(uxdp_map_delete_batch(trie, keys, &n, 0) == -ENOENT && n == 0);
	uxdp_map_unref(trie);
}

/* A worker that never reports is named. */
static void reclamation(void)
{
	UXDP_STRUCT(uxdp_map_spec, inner, .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 10);
	UXDP_STRUCT(uxdp_map_spec, spec, .type = ARRAY_OF_MAPS, .key_size = 4, .value_size = 4, .max_entries = 5, .inner = &inner);
	UXDP_STRUCT(uxdp_worker_stats, worker);
	UXDP_STRUCT(uxdp_reclaim_stats, all);
	struct uxdp_map *outer = NULL, *like = NULL;
	struct uxdp_worker *silent = NULL;
	uint32_t key = 1;

	CHECK(uxdp_worker_stats(NULL, 0, &worker) == 0 && !worker.registered && !worker.online && worker.behind == 0);
	CHECK(uxdp_worker_stats(NULL, 1u << 20, &worker) == -ERANGE);
	CHECK(uxdp_worker_stats(NULL, 0, NULL) == -EINVAL && uxdp_reclaim_stats(NULL, NULL) == -EINVAL);
	CHECK(uxdp_worker_register(NULL, 0, &silent) == 0);
	CHECK(uxdp_reclaim_stats(NULL, &all) == 0 && all.waiting == 0 && all.held_up_by == -1 && all.behind == 0);
	CHECK(uxdp_map_create(NULL, &inner, &like) == 0 && uxdp_map_create(NULL, &spec, &outer) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(uxdp_map_update_map(outer, &key, like, 0) == 0);
	CHECK(uxdp_reclaim_stats(NULL, &all) == 0 && all.waiting == 3 && all.held_up_by == 0 && all.behind == 3);
	CHECK(uxdp_worker_stats(NULL, 0, &worker) == 0 && worker.registered && worker.online && worker.behind == 3);
	uxdp_worker_quiescent(silent);
	CHECK(uxdp_reclaim_stats(NULL, &all) == 0 && all.waiting == 0 && all.held_up_by == -1 && all.behind == 0);
	uxdp_worker_offline(silent);
	CHECK(uxdp_worker_stats(NULL, 0, &worker) == 0 && worker.registered && !worker.online);
	uxdp_worker_unregister(silent);
	uxdp_map_unref(outer);
	uxdp_map_unref(like);
}

static int add(const void *key, const void *value, void *arg)
{
	uint64_t *sum = arg, v;

	memcpy(&v, value, sizeof(v));
	(void)key;
	*sum += v;
	return v == 1000;
}

struct deleting { struct uxdp_map *map; uint32_t shown; };

static int delete_every_other(const void *key, const void *value, void *arg)
{
	struct deleting *d = arg;

	(void)value;
	if (d->shown++ % 2)
		CHECK(uxdp_map_delete_elem(d->map, key) == 0);
	return 0;
}

static void walks(void)
{
	struct uxdp_map *map = map_of(HASH, 4, 8, 0), *trie = map_of(LPM_TRIE, 8, 8, NO_PREALLOC), *queue = map_of(QUEUE, 0, 8, 0);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 90; i++) {
		uint32_t key[2] = { 32, i };
		uint64_t value = i;

		CHECK(uxdp_map_update_elem(map, &i, &value, 0) == 0 && uxdp_map_update_elem(trie, key, &value, 0) == 0);
	}
	CHECK(uxdp_map_for_each_elem(map, add, &sum) == 90 && sum == 4005);
	CHECK(uxdp_map_for_each_elem(trie, add, &sum) == 90 && sum == 8010);
	CHECK(uxdp_map_for_each_elem(trie, delete_every_other, &(struct deleting){ .map = trie }) == 90);
	CHECK(uxdp_map_for_each_elem(map, delete_every_other, &(struct deleting){ .map = map }) == 90);
	CHECK(uxdp_map_for_each_elem(trie, add, &sum) == 45 && uxdp_map_for_each_elem(map, add, &sum) == 45);
	CHECK(uxdp_map_for_each_elem(queue, add, &sum) == -EOPNOTSUPP);
	CHECK(uxdp_map_for_each_elem(map, NULL, &sum) == -EINVAL && uxdp_map_for_each_elem(NULL, add, &sum) == -EINVAL);
	uxdp_map_unref(queue);
	uxdp_map_unref(trie);
	uxdp_map_unref(map);
}

static void bursts(void)
{
	struct uxdp_map *map = map_of(HASH, 8, 8, 0), *queue = map_of(QUEUE, 0, 8, 0);
	struct uxdp_worker *worker = NULL;
	uint64_t keys[70];
	const void *where[70];
	void *values[70];

	for (uint64_t i = 0; i < 70; i++) {
		keys[i] = i;
		where[i] = &keys[i];
		if (i % 3)
			CHECK(uxdp_map_update_elem(map, &keys[i], &keys[i], 0) == 0);
	}
	CHECK(uxdp_worker_register(NULL, 0, &worker) == 0);
	CHECK(uxdp_map_lookup_burst(worker, map, where, values, 70) == 0);
	for (uint64_t i = 0; i < 70; i++)
		CHECK(i % 3 ? *(uint64_t *)values[i] == i : values[i] == NULL);
	CHECK(uxdp_map_lookup_burst(worker, queue, where, values, 1) == -EINVAL);
	CHECK(uxdp_map_lookup_burst(NULL, map, where, values, 1) == -EINVAL);
	CHECK(uxdp_map_lookup_burst(worker, map, NULL, values, 1) == -EINVAL);
	uxdp_worker_quiescent(worker);
	uxdp_worker_unregister(worker);
	uxdp_map_unref(queue);
	uxdp_map_unref(map);
}

/* Ids come out; numbers do not go in. `outer` has room for two. */
static void maps_in_batches(struct uxdp_map *outer, struct uxdp_map *like, uint32_t id)
{
	UXDP_STRUCT(uxdp_map_spec, inner, .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 10);
	UXDP_STRUCT(uxdp_map_spec, spec, .type = ARRAY_OF_MAPS, .key_size = 4, .value_size = 4, .max_entries = 5, .inner = &inner);
	struct uxdp_map *array = NULL;
	uint64_t keys[5] = { 77, 78 }, key = 78;
	uint32_t ids[5] = { id, id }, n = 2, cursor, index = 3, indices[5];
	char why[256];

	CHECK(uxdp_map_update_map(outer, &key, like, 0) == 0);
	CHECK(uxdp_map_update_batch(outer, keys, ids, &n, 0) == -EINVAL && n == 0);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "by numbers"));
	n = 5;
	CHECK(uxdp_map_lookup_batch(outer, NULL, &cursor, keys, ids, &n, 0) == -ENOENT && n == 2 && ids[0] == id && ids[1] == id);
	n = 1;
	CHECK(uxdp_map_delete_batch(outer, keys, &n, 0) == 0 && n == 1);
	n = 5;
	CHECK(uxdp_map_lookup_and_delete_batch(outer, NULL, &cursor, keys, ids, &n, 0) == -ENOENT && n == 1 && ids[0] == id);
	CHECK(uxdp_map_get_next_key(outer, NULL, keys) == -ENOENT);
	CHECK(uxdp_map_create(NULL, &spec, &array) == 0 && uxdp_map_update_map(array, &index, like, 0) == 0);
	n = 5;
	CHECK(uxdp_map_lookup_batch(array, NULL, &cursor, indices, ids, &n, 0) == -ENOENT && n == 1 && indices[0] == 3 && ids[0] == id);
	CHECK(uxdp_map_lookup_and_delete_batch(array, NULL, &cursor, indices, ids, &n, 0) == -NOTSUPP);
	uxdp_map_unref(array);
}

/* Maps of maps without an object. */
static void maps_of_maps(void)
{
	UXDP_STRUCT(uxdp_map_spec, inner, .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 10);
	UXDP_STRUCT(uxdp_map_spec, spec, .type = HASH_OF_MAPS, .key_size = 8, .value_size = 4, .max_entries = 2, .inner = &inner);
	struct uxdp_map *outer = NULL, *like = NULL, *unlike = map_of(HASH, 8, 8, 0);
	UXDP_STRUCT(uxdp_map_info, info);
	uint64_t key = 77;
	uint32_t id = 0;

	CHECK(uxdp_map_create(NULL, &inner, &like) == 0 && uxdp_map_create(NULL, &spec, &outer) == 0);
	CHECK(uxdp_map_memory_size(NULL, &spec) > 0);
	CHECK(uxdp_map_update_map(outer, &key, like, 0) == 0 && uxdp_map_update_map(outer, &key, unlike, 0) == -EINVAL);
	CHECK(uxdp_map_get_info(like, &info) == 0 && uxdp_map_lookup_elem(outer, &key, &id, 0) == 0 && id == info.id);
	maps_in_batches(outer, like, info.id);
	CHECK(uxdp_map_update_map(outer, &key, like, 0) == 0);
	/* The inner map lives as long as it is there. */
	uxdp_map_unref(like);
	CHECK(uxdp_map_delete_elem(outer, &key) == 0 && uxdp_map_lookup_elem(outer, &key, &id, 0) == -ENOENT);
	uxdp_map_unref(outer);

	spec.inner = NULL;
	CHECK(uxdp_map_create(NULL, &spec, &outer) == -EBADF);
	spec.inner = &inner, inner.type = HASH_OF_MAPS;
	CHECK(uxdp_map_create(NULL, &spec, &outer) == -EINVAL);
	inner.type = 12345;
	CHECK(uxdp_map_create(NULL, &spec, &outer) == -EINVAL);
	inner.type = HASH, inner.value_size = 0;
	CHECK(uxdp_map_create(NULL, &spec, &outer) == -EINVAL);
	inner.value_size = 8, spec.type = ARRAY;
	CHECK(uxdp_map_create(NULL, &spec, &outer) == -EINVAL);
	uxdp_map_unref(unlike);
}

static void references(const char *kinds, const char *egress)
{
	UXDP_STRUCT(uxdp_map_spec, same, .name = "n", .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1);
	struct uxdp_object *obj = NULL;
	struct uxdp_map *outer, *inner = NULL, *other = map_of(HASH, 4, 8, 0), *devices;
	UXDP_STRUCT(uxdp_map_info, info);
	uint32_t key = 1, id = 0, device[2] = { 3, 12345 };
	struct uxdp_prog *prog = NULL, *next = NULL;

	CHECK(uxdp_object_open_file(kinds, NULL, &obj) == 0 && uxdp_object_load(obj, NULL) == 0);
	outer = uxdp_object_find_map(obj, "counters");
	CHECK(outer && uxdp_map_create(NULL, &same, &inner) == 0 && uxdp_map_get_info(inner, &info) == 0);
	CHECK(uxdp_map_update_map(outer, &key, inner, 0) == 0);
	CHECK(uxdp_map_lookup_elem(outer, &key, &id, 0) == 0 && id == info.id);
	CHECK(uxdp_map_update_map(outer, &key, other, 0) == -EINVAL && uxdp_map_update_map(other, &key, inner, 0) == -EINVAL);
	CHECK(uxdp_map_update_map(outer, &key, NULL, 0) == -EINVAL && uxdp_map_update_map(outer, NULL, inner, 0) == -EINVAL);
	key = 2;
	CHECK(uxdp_map_update_map(outer, &key, inner, 0) == -E2BIG);
	uxdp_object_free(obj);
	CHECK(uxdp_object_open_file(egress, NULL, &obj) == 0 && uxdp_object_load(obj, NULL) == 0);
	devices = uxdp_object_find_map(obj, "devices");
	prog = uxdp_object_find_prog(obj, "egress");
	next = uxdp_object_find_prog(obj, "ingress");
	CHECK(devices && prog && next);
	key = 0;
	CHECK(uxdp_map_update_target(devices, &key, device, prog, 0) == 0);
	CHECK(uxdp_map_lookup_elem(devices, &key, device, 0) == 0 && device[0] == 3 && device[1] != 0);
	CHECK(uxdp_map_update_target(devices, &key, device, next, 0) == -EINVAL);
	device[1] = 12345;
	CHECK(uxdp_map_update_target(devices, &key, device, NULL, 0) == 0);
	CHECK(uxdp_map_lookup_elem(devices, &key, device, 0) == 0 && device[0] == 3 && device[1] == 0);
	CHECK(uxdp_map_update_target(other, &key, device, prog, 0) == -EINVAL);
	uxdp_object_free(obj);
	uxdp_map_unref(inner);
	uxdp_map_unref(other);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	batches();
	one_by_one();
	without_keys();
	tries_in_batches();
	reclamation();
	walks();
	bursts();
	maps_of_maps();
	references(argv[1], argv[2]);
	puts("ok");
	return 0;
}
