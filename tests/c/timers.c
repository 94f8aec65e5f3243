/* Timers through the C API: timers timers.o (tests/progs). The first byte of a packet says what is asked, the second one is a key. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uxdp.h>

#include "check.h"

/* struct value of the program. */
struct value {
	uint64_t count;
	uint32_t again, what;
	uint64_t timer[2];
	uint64_t noted;
};

enum { MAKE = 1, ARM = 2, ARM_FAR = 3, CANCEL = 4, AGAIN = 7, FRESH = 10 };

static struct uxdp_ctx ctx;

static void ask(uint8_t what, uint8_t key)
{
	static uint8_t buffer[2048];

	ctx.data_hard_start = buffer;
	ctx.data_meta = ctx.data = buffer + 256;
	ctx.data_end = ctx.data + 64;
	ctx.frame_end = buffer + sizeof(buffer);
	ctx.data[0] = what, ctx.data[1] = key;
	CHECK(xdp_run(&ctx) == UXDP_PASS);
}

static uint64_t count(struct uxdp_map *map, uint32_t key)
{
	struct value value;

	CHECK(uxdp_map_lookup_elem(map, &key, &value, 0) == 0);
	CHECK(value.timer[0] == 0 && value.timer[1] == 0);
	return value.count;
}

/* Polls until a timer was run, for two seconds at most. */
static int poll_one(struct uxdp_worker *worker)
{
	const struct timespec while_ms = { .tv_nsec = 1000000 };
	uint64_t next;

	for (int i = 0; i < 2000; i++) {
		int ran = uxdp_worker_run_timers(worker, 1, &next);

		CHECK(ran >= 0);
		if (ran)
			return 1;
		uxdp_worker_quiescent(worker);
		nanosleep(&while_ms, NULL);
	}
	return 0;
}

/* A thread of timers: a slot of its own. */
static void *timer_thread(void *stop)
{
	struct uxdp_worker *worker;
	int ran = 0;

	CHECK(uxdp_worker_register(NULL, 1, &worker) == 0);
	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED))
		ran += poll_one(worker);
	uxdp_worker_unregister(worker);
	return ran ? stop : NULL;
}

int main(int argc, char **argv)
{
	struct uxdp_object *object;
	struct uxdp_worker *worker;
	struct uxdp_prog *prog;
	struct uxdp_hook *hook;
	struct uxdp_map *map;
	uint64_t next = 1;

	if (argc != 2)
		return 2;
	CHECK(uxdp_worker_run_timers(NULL, 1, &next) == -EINVAL);
	CHECK(uxdp_object_open_file(argv[1], NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_find_prog(object, "timers");
	map = uxdp_object_find_map(object, "array");
	CHECK(prog && map && uxdp_worker_register(NULL, 0, &worker) == 0);
	CHECK(uxdp_hook_create(NULL, NULL, &hook) == 0 && uxdp_hook_set(hook, &prog, 1, NULL) == 0);
	CHECK(uxdp_ctx_init(&ctx, worker, hook) == 0);

	CHECK(uxdp_worker_run_timers(worker, 8, &next) == 0 && next == UINT64_MAX);
	ask(MAKE, 1), ask(ARM, 1);
	CHECK(count(map, 1) == 0 && poll_one(worker) && count(map, 1) == 1);
	CHECK(uxdp_worker_run_timers(worker, 8, &next) == 0 && next == UINT64_MAX);
	ask(ARM_FAR, 1);
	CHECK(uxdp_worker_run_timers(worker, 8, &next) == 0 && next > 1000000000 && next < UINT64_MAX);
	ask(CANCEL, 1);
	CHECK(uxdp_worker_run_timers(worker, 8, NULL) == 0);
	ask(AGAIN, 1);
	for (int i = 0; i < 4; i++)
		CHECK(poll_one(worker));
	CHECK(count(map, 1) == 5);

	/* A program and its maps go with a timer armed. */
	ask(ARM_FAR, 1);
	uxdp_object_free(object);
	ask(ARM, 1);
	uxdp_worker_run_timers(worker, 8, NULL);
	uxdp_hook_free(hook);
	uxdp_worker_quiescent(worker);
	uxdp_worker_run_timers(worker, 8, NULL);
	uxdp_worker_unregister(worker);

	/* A thread runs them. */
	{
		UXDP_OPEN_OPTS(opts, .name = "timers");
		pthread_t thread;
		int stop = 0;
		void *ran;

		CHECK(uxdp_object_open_file(argv[1], &opts, &object) == 0 && uxdp_object_load(object, NULL) == 0);
		prog = uxdp_object_find_prog(object, "timers");
		map = uxdp_object_find_map(object, "array");
		CHECK(uxdp_worker_register(NULL, 0, &worker) == 0);
		CHECK(uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog)) == 0);
		CHECK(pthread_create(&thread, NULL, timer_thread, &stop) == 0);
		ask(MAKE, 2), ask(ARM, 2);
		for (int i = 0; i < 2000 && count(map, 2) == 0; i++) {
			const struct timespec while_ms = { .tv_nsec = 1000000 };

			uxdp_worker_quiescent(worker);
			nanosleep(&while_ms, NULL);
		}
		CHECK(count(map, 2) == 1);
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		CHECK(pthread_join(thread, &ran) == 0 && ran == &stop);
		uxdp_object_free(object);
		uxdp_worker_unregister(worker);
	}
	puts("ok");
	return 0;
}
