/* Maps that processes share: shared FILE. Started again by itself with a descriptor, it is the other process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uxdp.h>

#include "check.h"

enum { HASH = 1, ARRAY = 2, PROG_ARRAY = 3, USER_RINGBUF = 31, MMAPABLE = 1 << 10 };

static const char *self;

static const char *last_error(void)
{
	static char why[512];

	uxdp_last_error(why, sizeof(why));
	return why;
}

static int put(struct uxdp_map *map, uint32_t key, uint64_t value) { return uxdp_map_update_elem(map, &key, &value, 0); }

static uint64_t get(struct uxdp_map *map, uint32_t key)
{
	uint64_t value = 0;

	CHECK(uxdp_map_lookup_elem(map, &key, &value, 0) == 0);
	return value;
}

/* Memory of the caller's, seen twice by one process. */
static void in_memory(void)
{
	UXDP_STRUCT(uxdp_map_spec, spec, .name = "m", .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 100);
	UXDP_STRUCT(uxdp_map_spec, odd, .type = PROG_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1);
	UXDP_STRUCT(uxdp_map_spec, wrong, .type = ARRAY, .key_size = 3, .value_size = 4, .max_entries = 1);
	UXDP_STRUCT(uxdp_map_info, info);
	int64_t size = uxdp_map_memory_size(NULL, &spec);
	struct uxdp_map *map = NULL, *other = NULL;
	size_t len;
	void *mem;

	CHECK(size > 100 * 16 && uxdp_map_memory_size(NULL, NULL) == -EINVAL && uxdp_map_memory_size(NULL, &wrong) == -EINVAL);
	len = ((size_t)size + 4095) / 4096 * 4096;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(uxdp_map_attach(NULL, mem, len, &map) == -EPROTO && map == NULL && strcmp(last_error(), "no map is there") == 0);
	CHECK(uxdp_map_create_in(NULL, &spec, NULL, len, &map) == -EINVAL && uxdp_map_create_in(NULL, &spec, mem, 100, &map) == -EINVAL);
	CHECK(uxdp_map_create_in(NULL, &odd, mem, len, &map) == -EOPNOTSUPP && strstr(last_error(), "prog_array cannot be shared") != NULL);
	CHECK(uxdp_map_create_in(NULL, &spec, mem, len, &map) == 0 && put(map, 1, 10) == 0);
	CHECK(uxdp_map_create_in(NULL, &spec, mem, len, &other) == -EEXIST);
	CHECK(uxdp_map_attach(NULL, mem, len, &other) == 0 && get(other, 1) == 10);
	CHECK(put(other, 2, 20) == 0 && get(map, 2) == 20);
	CHECK(uxdp_map_get_info(other, &info) == 0 && info.max_entries == 100 && strcmp(info.name, "m") == 0 && info.id != 0);
	CHECK(uxdp_map_export_fd(map) == -EINVAL && uxdp_map_recover(map) == 0 && uxdp_map_recover(NULL) == -EINVAL);
	CHECK(uxdp_map_freeze(other) == 0 && put(map, 3, 30) == -EPERM);
	uxdp_map_unref(map);
	CHECK(get(other, 1) == 10);
	uxdp_map_unref(other);
	((uint8_t *)mem)[16] ^= 1;
	CHECK(uxdp_map_attach(NULL, mem, len, &map) == -EPROTO);
	munmap(mem, len);
	CHECK(uxdp_map_create(NULL, &spec, &map) == 0 && put(map, 1, 1) == 0);
	uxdp_map_unref(map);
}

/* The other process: works on the map until it is killed. */
static int other_process(int fd)
{
	struct uxdp_map *map = NULL;

	CHECK(uxdp_map_attach_fd(NULL, fd, &map) == 0 && get(map, 1) == 10);
	for (uint32_t i = 0;; i++) {
		put(map, 1000 + i % 50, i);
		if (i == 100 && write(1, "r", 1) != 1)
			return 1;
	}
}

static void by_descriptor(void)
{
	UXDP_STRUCT(uxdp_map_spec, spec, .name = "both", .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 100);
	struct uxdp_map *map = NULL, *no = NULL;
	char number[16], ready;
	int fd, ends[2];
	pid_t child;

	CHECK(uxdp_map_create_shared(NULL, &spec, &map) == 0 && put(map, 1, 10) == 0);
	fd = uxdp_map_export_fd(map);
	CHECK(fd >= 0 && ftruncate(fd, 0) == -1 && errno == EPERM);
	CHECK(uxdp_map_attach_fd(NULL, -1, &no) == -EBADF && uxdp_map_attach_fd(NULL, 0, &no) == -EPERM);
	CHECK(fcntl(fd, F_SETFD, 0) == 0 && pipe(ends) == 0);
	snprintf(number, sizeof(number), "%d", fd);
	child = fork();
	if (child == 0) {
		dup2(ends[1], 1);
		execl(self, self, "--other", number, (char *)NULL);
		_exit(127);
	}
	CHECK(read(ends[0], &ready, 1) == 1 && get(map, 1000) <= UINT64_MAX);
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	CHECK(get(map, 1) == 10);
	CHECK(uxdp_map_recover(map) >= 1);
	for (uint32_t i = 0; i < 50; i++)
		uxdp_map_delete_elem(map, &(uint32_t){1000 + i});
	for (uint32_t i = 0; i < 99; i++)
		CHECK(put(map, 5000 + i, i) == 0);
	CHECK(put(map, 6000, 0) == -E2BIG);
	close(fd);
	uxdp_map_unref(map);
}

/* What mmap(2) of the kernel's map shows. */
static void by_mmap(void)
{
	UXDP_STRUCT(uxdp_map_spec, spec, .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 10, .flags = MMAPABLE);
	UXDP_STRUCT(uxdp_map_spec, ring, .type = USER_RINGBUF, .max_entries = 4096);
	struct uxdp_map *map = NULL, *own = NULL;
	void *at = NULL, *sample = NULL;
	size_t len = 0;

	CHECK(uxdp_map_create_shared(NULL, &spec, &map) == 0 && uxdp_map_mmap(map, &at, &len) == 0 && len == 4096);
	((uint64_t *)at)[3] = 33;
	CHECK(get(map, 3) == 33 && put(map, 4, 44) == 0 && ((uint64_t *)at)[4] == 44);
	uxdp_map_unref(map);
	CHECK(((uint64_t *)at)[3] == 33 && munmap(at, len) == 0);

	CHECK(uxdp_map_create_shared(NULL, &ring, &map) == 0 && uxdp_map_mmap(map, &at, &len) == 0 && len == 4 * 4096);
	CHECK(uxdp_user_ringbuf_reserve(map, 5, &sample) == 0);
	memcpy(sample, "hello", 5);
	CHECK(uxdp_user_ringbuf_submit(map, sample) == 0 && *(uint64_t *)((char *)at + 4096) == 16);
	CHECK(memcmp((char *)at + 2 * 4096 + 8, "hello", 5) == 0 && memcmp((char *)at + 3 * 4096 + 8, "hello", 5) == 0);
	CHECK(munmap(at, len) == 0);
	uxdp_map_unref(map);

	spec.flags = 0;
	CHECK(uxdp_map_create_shared(NULL, &spec, &map) == 0 && uxdp_map_mmap(map, &at, &len) == -EOPNOTSUPP && at == NULL);
	CHECK(uxdp_map_mmap(map, NULL, &len) == -EINVAL && uxdp_map_mmap(map, &at, NULL) == -EINVAL && uxdp_map_mmap(NULL, &at, &len) == -EINVAL);
	uxdp_map_unref(map);
	CHECK(uxdp_map_create(NULL, &spec, &own) == 0 && uxdp_map_mmap(own, &at, &len) == -EINVAL);
	uxdp_map_unref(own);
}

static void by_file(const char *path)
{
	UXDP_STRUCT(uxdp_map_spec, spec, .name = "kept", .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 10);
	struct uxdp_map *map = NULL, *other = NULL;

	unlink(path);
	CHECK(uxdp_map_attach_file(NULL, path, &map) == -ENOENT && uxdp_map_attach_file(NULL, NULL, &map) == -EINVAL);
	CHECK(uxdp_map_create_file(NULL, &spec, path, &map) == 0 && put(map, 3, 33) == 0);
	CHECK(uxdp_map_create_file(NULL, &spec, path, &other) == -EEXIST && other == NULL);
	uxdp_map_unref(map);
	CHECK(uxdp_map_attach_file(NULL, path, &map) == 0 && get(map, 3) == 33);
	uxdp_map_unref(map);
	CHECK(truncate(path, 512) == 0 && uxdp_map_attach_file(NULL, path, &map) == -EINVAL);
	unlink(path);
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 3 && strcmp(argv[1], "--other") == 0)
		return other_process(atoi(argv[2]));
	if (argc != 2)
		return 2;
	in_memory();
	by_descriptor();
	by_mmap();
	by_file(argv[1]);
	puts("ok");
	return 0;
}
