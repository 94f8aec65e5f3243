/* Makes the n-th allocation of an open, load, run and free fail, for n = 1, 2, ... until all succeed. Each failure must be -ENOMEM somewhere, and what was
 * allocated must be freed again. Linked with --wrap, so that it sees what the archive asks for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <uxdp.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
int __real_posix_memalign(void **, size_t, size_t);
void __real_free(void *);
void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
int __wrap_posix_memalign(void **, size_t, size_t);
void __wrap_free(void *);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);
int __wrap_munmap(void *, size_t);

static long live, asked, fail_at; /* fail_at 0: never */

static int fails(void) { return ++asked == fail_at; }

static void *count(void *p)
{
	live += p != NULL;
	return p;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : count(__real_malloc(n)); }
void *__wrap_calloc(size_t n, size_t m) { return fails() ? NULL : count(__real_calloc(n, m)); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : p == NULL ? count(__real_realloc(p, n)) : __real_realloc(p, n); }

int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
	if (fails())
		return ENOMEM;
	int ret = __real_posix_memalign(p, align, n);
	live += ret == 0;
	return ret;
}

void __wrap_free(void *p)
{
	live -= p != NULL;
	__real_free(p);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	if (fails()) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	void *p = __real_mmap(at, n, prot, flags, fd, offset);
	live += p != MAP_FAILED;
	return p;
}

int __wrap_munmap(void *p, size_t n)
{
	live--;
	return __real_munmap(p, n);
}

/* Everything once; the first status that is not 0. */
static int all(const char *path)
{
	static unsigned char packet[64];
	struct uxdp_env *env = NULL;
	struct uxdp_object *object = NULL;
	struct uxdp_hook *hook = NULL;
	UXDP_STRUCT(uxdp_env_opts, env_opts, .nr_cpus = 2);
	UXDP_STRUCT(uxdp_test_run_opts, test, .data_in = packet, .data_size_in = sizeof(packet));
	int status = uxdp_env_create(&env_opts, &env);
	UXDP_OPEN_OPTS(opts, .env = env);

	if (status == 0)
		status = uxdp_object_open_file(path, &opts, &object);
	if (status == 0)
		status = uxdp_object_load(object, NULL);
	if (status == 0)
		status = uxdp_hook_create(env, NULL, &hook);
	if (status == 0) {
		struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);

		status = uxdp_hook_set(hook, &prog, 1, NULL);
		if (status == 0)
			status = uxdp_prog_test_run(prog, &test);
	}
	if (env == NULL && status == 0)
		status = -EPROTO;
	uxdp_hook_free(hook);
	uxdp_object_free(object);
	uxdp_env_free(env);
	return status;
}

int main(int argc, char **argv)
{
	long n, before, failures = 0;
	int status;

	if (argc != 2)
		return 2;
	setvbuf(stdout, NULL, _IONBF, 0);
	/* The first time makes what stays for the thread: the text of the last error. */
	uxdp_object_load(NULL, NULL);
	if ((status = all(argv[1])) != 0) {
		char why[256];

		uxdp_last_error(why, sizeof(why));
		fprintf(stderr, "without a failure: %s: %s\n", uxdp_strerror(status), why);
		return 1;
	}
	for (n = 1;; n++) {
		before = live;
		asked = 0;
		fail_at = n;
		status = all(argv[1]);
		fail_at = 0;
		if (live != before) {
			fprintf(stderr, "allocation %ld fails: status %d, %ld allocations are left\n", n, status, live - before);
			return 1;
		}
		if (asked < n)
			break;
		if (status == 0)
			continue; /* the library can do without this one */
		if (status != -ENOMEM) {
			fprintf(stderr, "allocation %ld fails: %s\n", n, uxdp_strerror(status));
			return 1;
		}
		failures++;
	}
	printf("%ld failures survived\n", failures);
	return status != 0;
}
