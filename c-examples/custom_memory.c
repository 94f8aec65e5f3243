/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Maps in memory of the caller's own, and a control plane that changes them while packets flow.
 *
 *   custom_memory xdp_map_access.o
 *
 * The arena is one mapping, handed out from its start; huge pages, a DPDK memzone or a shared file are taken in the same way. The program
 * counts packets in its map `counters` while bit 0 of its map `flags` asks for it.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uxdp.h>

struct arena {
	uint8_t *base;
	size_t size, used;
	unsigned maps; /* allocations alive */
	pthread_mutex_t lock; /* loading and freeing may happen on any thread */
};

static void *arena_alloc(void *arg, const char *name, size_t size, size_t align, int numa_node)
{
	struct arena *a = arg;
	uint8_t *p = NULL;

	(void)numa_node;
	pthread_mutex_lock(&a->lock);
	size_t at = (a->used + align - 1) & ~(align - 1);
	if (at <= a->size && size <= a->size - at) {
		p = a->base + at;
		a->used = at + size;
		a->maps++;
		printf("%-10s %8zu bytes at %zu\n", name, size, at);
	}
	pthread_mutex_unlock(&a->lock);
	return p;
}

/* Nothing is reused before the arena goes as a whole. */
static void arena_free(void *arg, void *p, size_t size)
{
	struct arena *a = arg;

	(void)p;
	(void)size;
	pthread_mutex_lock(&a->lock);
	a->maps--;
	pthread_mutex_unlock(&a->lock);
}

static int failed(const char *what, int status)
{
	char why[512];

	uxdp_last_error(why, sizeof(why));
	fprintf(stderr, "%s: %s: %s\n", what, uxdp_strerror(status), why);
	return 1;
}

/* Packets counted over all CPUs: a per-CPU value is read as one array, a slot each. */
static uint64_t counted(struct uxdp_map *counters)
{
	UXDP_STRUCT(uxdp_map_info, info);
	const uint32_t key = 0;
	uint64_t sum = 0, *values;
	size_t i;

	if (uxdp_map_get_info(counters, &info) != 0 || (values = malloc(info.value_buf_size)) == NULL)
		return 0;
	if (uxdp_map_lookup_elem(counters, &key, values, 0) == 0)
		for (i = 0; i < info.value_buf_size / sizeof(*values); i++)
			sum += values[i];
	free(values);
	return sum;
}

static int demonstrate(struct uxdp_object *object, struct uxdp_worker *worker)
{
	struct uxdp_map *flags = uxdp_object_find_map(object, "flags");
	struct uxdp_map *counters = uxdp_object_find_map(object, "counters");
	struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);
	static uint8_t buffer[256 + 2048];
	const uint32_t key = 0;
	struct uxdp_ctx ctx;
	uint32_t flag;
	int status;

	if (flags == NULL || counters == NULL || prog == NULL) {
		fprintf(stderr, "give the object xdp_map_access.o\n");
		return 1;
	}
	if ((status = uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog))) != 0)
		return failed("context", status);
	/* A packet before the control plane asks for counting, one while it does, one after. */
	for (unsigned i = 0; i < 3; i++) {
		flag = i == 1;
		if ((status = uxdp_map_update_elem(flags, &key, &flag, 0)) != 0)
			return failed("flags", status);
		ctx.data_hard_start = buffer;
		ctx.data_meta = ctx.data = buffer + 256;
		ctx.data_end = ctx.data + 64;
		ctx.frame_end = buffer + sizeof(buffer);
		if (xdp_run(&ctx) != UXDP_PASS)
			return failed("packet", -5);
		uxdp_worker_quiescent(worker);
		printf("flag %u: %" PRIu64 " packets counted\n", (unsigned)flag, counted(counters));
		if (counted(counters) != (i > 0))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct arena arena = {.size = 64 << 20, .lock = PTHREAD_MUTEX_INITIALIZER};
	const struct uxdp_mem_ops ops = {.alloc = arena_alloc, .free = arena_free, .arg = &arena};
	struct uxdp_object *object = NULL;
	struct uxdp_worker *worker = NULL;
	int status, ret = 1;
	UXDP_OPEN_OPTS(opts, .map_mem = &ops);

	if (argc != 2) {
		fprintf(stderr, "usage: %s xdp_map_access.o\n", argv[0]);
		return 2;
	}
	arena.base = mmap(NULL, arena.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena.base == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	if ((status = uxdp_object_open_file(argv[1], &opts, &object)) != 0 || (status = uxdp_object_load(object, NULL)) != 0)
		failed(argv[1], status);
	else if ((status = uxdp_worker_register(NULL, 0, &worker)) != 0)
		failed("worker", status);
	else
		ret = demonstrate(object, worker);

	uxdp_worker_unregister(worker);
	uxdp_object_free(object);
	/* Nothing may point into the arena when it goes: this waits until that is so. */
	uxdp_synchronize(NULL);
	printf("maps left in the arena: %u\n", arena.maps);
	if (arena.maps != 0)
		ret = 1;
	munmap(arena.base, arena.size);
	return ret;
}
