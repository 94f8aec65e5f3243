/* Rings through the C API: rings kinds.o user_ring.o (tests/progs). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <uxdp.h>

#include "check.h"

/* What was seen of records: how many, bytes, and the last one's first four. */
struct seen {
	unsigned records, bytes, stop_after;
	uint32_t last;
};

static int see(void *arg, const void *data, size_t size)
{
	struct seen *seen = arg;

	CHECK(size >= sizeof(seen->last));
	memcpy(&seen->last, data, sizeof(seen->last));
	seen->bytes += (unsigned)size;
	return ++seen->records == seen->stop_after;
}

static void run(struct uxdp_prog *prog, const uint8_t first[4], uint32_t expected)
{
	uint8_t packet[64] = { first[0], first[1], first[2], first[3] };
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));

	CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == expected);
}

/* How often a descriptor was told since the last look. */
static uint64_t told(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Readers are woken at quiescent points: a test run has one at its end. */
static void wake_ups(const char *file)
{
	struct uxdp_object *object;
	struct uxdp_map *events, *samples;
	struct uxdp_prog *prog;
	struct seen seen = { 0 };
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);

	CHECK(fd >= 0 && other >= 0);
	CHECK(uxdp_object_open_file(file, NULL, &object) == 0);
	events = uxdp_object_find_map(object, "events"), samples = uxdp_object_find_map(object, "samples");
	CHECK(events && samples && uxdp_map_notify(events, fd) == -EINVAL);
	CHECK(uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_next_prog(object, NULL);

	CHECK(uxdp_map_notify(NULL, fd) == -EINVAL && uxdp_map_notify(events, -2) == -EINVAL);
	CHECK(uxdp_map_notify(events, 4000) == -EBADF && uxdp_map_notify(events, -1) == 0);
	CHECK(uxdp_map_notify(events, fd) == 0 && told(fd) == 1);
	/* The reader has read all: the next record wakes it. It is behind then: another record does not. */
	run(prog, (const uint8_t[]){ 1, 0, 0, 0 }, UXDP_DROP);
	CHECK(told(fd) == 1);
	run(prog, (const uint8_t[]){ 2, 0, 0, 0 }, UXDP_DROP);
	CHECK(told(fd) == 0);
	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 2);
	CHECK(uxdp_map_notify(events, other) == 0 && told(other) == 1);
	run(prog, (const uint8_t[]){ 3, 0, 0, 0 }, UXDP_DROP);
	CHECK(told(fd) == 0 && told(other) == 1);
	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 1 && uxdp_map_notify(events, -1) == 0);
	run(prog, (const uint8_t[]){ 4, 0, 0, 0 }, UXDP_DROP);
	CHECK(told(other) == 0);

	for (uint32_t i = 0; uxdp_perf_open(samples, i) == 0; i++)
		;
	CHECK(uxdp_map_notify(samples, other) == 0 && told(other) == 1);
	run(prog, (const uint8_t[]){ 5, 0, 0, 0 }, UXDP_DROP);
	run(prog, (const uint8_t[]){ 6, 0, 0, 0 }, UXDP_DROP);
	CHECK(told(other) == 2);
	/* A listener does not keep the map. */
	uxdp_object_free(object);
	close(fd), close(other);
}

/* What programs tell: a ring buffer and a perf event array. */
static void from_programs(const char *file)
{
	struct uxdp_object *object;
	struct uxdp_map *events, *samples;
	struct uxdp_prog *prog;
	struct seen seen = { 0 };
	uint64_t lost = 5;
	int slots = 0, read = 0;

	CHECK(uxdp_object_open_file(file, NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_next_prog(object, NULL);
	events = uxdp_object_find_map(object, "events"), samples = uxdp_object_find_map(object, "samples");
	CHECK(prog && events && samples);
	while (uxdp_perf_open(samples, (uint32_t)slots) == 0)
		slots++;
	CHECK(slots > 0 && uxdp_perf_open(samples, 1000) == -E2BIG && uxdp_perf_open(events, 0) == -EINVAL);

	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 0);
	for (uint8_t i = 1; i <= 3; i++)
		run(prog, (const uint8_t[]){ i, 0, 0, 0 }, UXDP_DROP);
	seen.stop_after = 2;
	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 2 && seen.records == 2 && seen.last == 2);
	seen.stop_after = 0;
	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 1 && seen.last == 3 && seen.bytes == 24);
	CHECK(uxdp_ringbuf_consume(events, see, &seen) == 0);
	CHECK(uxdp_ringbuf_consume(events, NULL, NULL) == -EINVAL && uxdp_ringbuf_consume(NULL, see, &seen) == -EINVAL);
	CHECK(uxdp_ringbuf_consume(samples, see, &seen) == -EINVAL);

	memset(&seen, 0, sizeof(seen));
	for (int i = 0; i < slots; i++) {
		int n = uxdp_perf_read(samples, (uint32_t)i, see, &seen, &lost);

		CHECK(n >= 0);
		read += n;
	}
	CHECK(read == 3 && seen.records == 3 && seen.last == 3 && lost == 5);
	CHECK(uxdp_perf_read(samples, 0, see, &seen, NULL) == 0 && uxdp_perf_read(samples, 0, NULL, NULL, NULL) == -EINVAL);
	CHECK(uxdp_perf_read(events, 0, see, &seen, NULL) == -EINVAL);
	uxdp_object_free(object);
}

/* What the host tells programs: a user ring buffer. */
static void to_programs(const char *file)
{
	struct uxdp_object *object;
	struct uxdp_map *samples, *seen;
	struct uxdp_prog *prog;
	int64_t value;
	void *sample;

	CHECK(uxdp_object_open_file(file, NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_next_prog(object, NULL);
	samples = uxdp_object_find_map(object, "samples"), seen = uxdp_object_find_map(object, "seen");
	CHECK(prog && samples && seen);
	for (uint64_t i = 1; i <= 4; i++) {
		CHECK(uxdp_user_ringbuf_reserve(samples, sizeof(i), &sample) == 0 && sample != NULL);
		memcpy(sample, &i, sizeof(i));
		CHECK((i == 2 ? uxdp_user_ringbuf_discard : uxdp_user_ringbuf_submit)(samples, sample) == 0);
	}
	run(prog, (const uint8_t[]){ 200, 0, 0, 0 }, UXDP_PASS);
	CHECK(uxdp_map_lookup_elem(seen, &(uint32_t){ 0 }, &value, 0) == 0 && value == 3);
	CHECK(uxdp_map_lookup_elem(seen, &(uint32_t){ 3 }, &value, 0) == 0 && value == 1 + 3 + 4);

	CHECK(uxdp_user_ringbuf_reserve(samples, 4096, &sample) == -E2BIG && sample == NULL);
	while (uxdp_user_ringbuf_reserve(samples, 1000, &sample) == 0)
		CHECK(uxdp_user_ringbuf_submit(samples, sample) == 0);
	CHECK(uxdp_user_ringbuf_reserve(samples, 1000, &sample) == -ENOSPC);
	CHECK(uxdp_user_ringbuf_reserve(seen, 8, &sample) == -EINVAL && uxdp_user_ringbuf_reserve(samples, 8, NULL) == -EINVAL);
	CHECK(uxdp_user_ringbuf_submit(samples, NULL) == -EINVAL && uxdp_user_ringbuf_discard(samples, NULL) == -EINVAL);
	uxdp_object_free(object);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	from_programs(argv[1]);
	wake_ups(argv[1]);
	to_programs(argv[2]);
	puts("ok");
	return 0;
}
