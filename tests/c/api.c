/* Every function with good and bad arguments: api xdp_map_access.o xdp_maps.o xdp_root.o xdping_no_check.o */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uxdp.h>

#include "check.h"

static const char *access_o, *maps_o, *root_o, *refused_o, *core_o;
static uint8_t packet[64];

static const char *last_error(void)
{
	static char why[512];

	uxdp_last_error(why, sizeof(why));
	return why;
}

static struct uxdp_object *open_object(const char *path)
{
	struct uxdp_object *object = NULL;

	CHECK(uxdp_object_open_file(path, NULL, &object) == 0);
	return object;
}

static struct uxdp_object *load_object(const char *path)
{
	struct uxdp_object *object = open_object(path);

	CHECK(uxdp_object_load(object, NULL) == 0);
	return object;
}

static struct uxdp_object *load_counting(const char *path)
{
	struct uxdp_object *object = open_object(path);
	UXDP_LOAD_OPTS(opts, .flags = UXDP_LOAD_COUNT_ACTIONS);

	CHECK(uxdp_object_load(object, &opts) == 0);
	return object;
}

/* Every pointer may be NULL: a status, a NULL or nothing. */
static void null_arguments(void)
{
	struct uxdp_object *object = NULL;
	char buf[8];

	CHECK(uxdp_object_open_file(NULL, NULL, &object) == -EINVAL && uxdp_object_open_file(access_o, NULL, NULL) == -EINVAL);
	CHECK(uxdp_object_open_mem(NULL, 0, NULL, &object) == -EINVAL && uxdp_object_load(NULL, NULL) == -EINVAL);
	CHECK(strcmp(last_error(), "object is NULL") == 0);
	CHECK(uxdp_object_find_prog(NULL, "x") == NULL && uxdp_object_find_map(NULL, "x") == NULL);
	CHECK(uxdp_object_next_prog(NULL, NULL) == NULL && uxdp_object_next_map(NULL, NULL) == NULL);
	CHECK(uxdp_prog_name(NULL) == NULL && uxdp_prog_section(NULL) == NULL && uxdp_prog_ref(NULL) == NULL && uxdp_prog_hook(NULL) == NULL);
	CHECK(uxdp_prog_stack_size(NULL) == -EINVAL && uxdp_prog_engine(NULL) == -EINVAL && uxdp_prog_id(NULL) == 0 && uxdp_prog_stats(NULL, 0, NULL) == -EINVAL);
	CHECK(uxdp_prog_test_run(NULL, NULL) == -EINVAL && uxdp_prog_set_autoload(NULL, 1) == -EINVAL);
	CHECK(uxdp_map_name(NULL) == NULL && uxdp_map_ref(NULL) == NULL && uxdp_map_get_info(NULL, NULL) == -EINVAL);
	CHECK(uxdp_map_lookup_elem(NULL, buf, buf, 0) == -EINVAL && uxdp_map_update_elem(NULL, buf, buf, 0) == -EINVAL);
	CHECK(uxdp_map_delete_elem(NULL, buf) == -EINVAL && uxdp_map_get_next_key(NULL, NULL, buf) == -EINVAL);
	CHECK(uxdp_map_update_prog(NULL, 0, NULL) == -EINVAL && uxdp_map_freeze(NULL) == -EINVAL && uxdp_map_reuse(NULL, NULL) == -EINVAL);
	CHECK(uxdp_map_set_max_entries(NULL, 1) == -EINVAL && uxdp_map_set_initial_value(NULL, buf, 1) == -EINVAL);
	CHECK(uxdp_worker_register(NULL, 0, NULL) == -EINVAL && uxdp_hook_create(NULL, NULL, NULL) == -EINVAL);
	CHECK(uxdp_hook_set(NULL, NULL, 0, NULL) == -EINVAL && uxdp_ctx_init_sized(NULL, NULL, NULL, 0) == -EINVAL);
	CHECK(uxdp_env_create(NULL, NULL) == -EINVAL && uxdp_trace_read(NULL, NULL, 1) == -EINVAL && uxdp_trace_read(NULL, buf, 0) == 0);
	uxdp_worker_quiescent(NULL), uxdp_worker_offline(NULL), uxdp_worker_online(NULL), uxdp_worker_unregister(NULL);
	uxdp_hook_free(NULL), uxdp_object_free(NULL), uxdp_env_free(NULL), uxdp_prog_unref(NULL), uxdp_map_unref(NULL);
}

/* CO-RE relocations against types that the host gives: those of a file without the types that the program names, and no types at all. */
static void against_types(void)
{
	static char types[1 << 16];
	struct uxdp_object *object;
	FILE *file = fopen(access_o, "rb");
	UXDP_OPEN_OPTS(opts, .btf = types);

	CHECK(file && (opts.btf_size = fread(types, 1, sizeof(types), file)) > 0 && fclose(file) == 0);
	CHECK(uxdp_object_open_file(core_o, &opts, &object) == 0);
	uxdp_object_free(object);
	memset(types, 0, 64);
	CHECK(uxdp_object_open_file(core_o, &opts, &object) == -EINVAL && object == NULL);
}

static void opening(void)
{
	struct uxdp_object *object = NULL;
	char log[64];
	UXDP_OPEN_OPTS(opts, .log_buf = log, .log_size = sizeof(log), .name = "junk");
	struct uxdp_mem_ops no_free = {.alloc = NULL};
	UXDP_OPEN_OPTS(bad_memory, .map_mem = &no_free);
	struct {
		struct uxdp_open_opts known;
		uint64_t newer;
	} wide = {.known = {.sz = sizeof(wide), .numa_node = -1}};

	CHECK(uxdp_object_open_file("/no/such/file.o", NULL, &object) == -ENOENT && strstr(last_error(), "/no/such/file.o") != NULL);
	CHECK(uxdp_object_open_mem("no object", 9, &opts, &object) == -ENOEXEC && object == NULL && strncmp(log, "junk: ", 6) == 0);
	CHECK(uxdp_object_open_file(access_o, &bad_memory, &object) == -EINVAL && strstr(last_error(), "alloc and free") != NULL);
	CHECK(uxdp_object_open_file(access_o, &wide.known, &object) == 0);
	uxdp_object_free(object);
	wide.newer = 1;
	CHECK(uxdp_object_open_file(access_o, &wide.known, &object) == -E2BIG);
	opts.sz = 2;
	CHECK(uxdp_object_open_file(access_o, &opts, &object) == -EINVAL);
	against_types();
}

static void names_and_order(void)
{
	struct uxdp_object *object = open_object(access_o);
	struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);
	struct uxdp_map *map = uxdp_object_next_map(object, NULL);

	CHECK(strcmp(uxdp_prog_name(prog), "xdp_map_access") == 0 && strcmp(uxdp_prog_section(prog), "xdp") == 0);
	CHECK(uxdp_object_find_prog(object, "xdp_map_access") == prog && uxdp_object_find_prog(object, "xdp") == prog);
	CHECK(uxdp_object_find_prog(object, "nothing") == NULL && uxdp_object_next_prog(object, prog) == NULL);
	CHECK(strcmp(uxdp_map_name(map), "flags") == 0 && uxdp_object_find_map(object, "flags") == map);
	CHECK(strcmp(uxdp_map_name(uxdp_object_next_map(object, map)), "counters") == 0 && uxdp_object_find_map(object, "x") == NULL);
	/* Nothing runs before the load. */
	CHECK(uxdp_prog_hook(prog) == NULL && uxdp_prog_engine(prog) == -EINVAL && uxdp_prog_id(prog) == 0);
	CHECK(uxdp_map_update_elem(map, &(uint32_t){0}, &(uint32_t){0}, 0) == -EINVAL);
	uxdp_object_free(object);
}

static void loading(void)
{
	struct uxdp_object *object = open_object(refused_o);
	char log[4096], small[128];
	UXDP_LOAD_OPTS(opts, .log_buf = log, .log_size = sizeof(log));
	UXDP_LOAD_OPTS(long_log, .log_buf = small, .log_size = sizeof(small), .log_level = 2);
	UXDP_LOAD_OPTS(bad_engine, .engine = 9);
	UXDP_LOAD_OPTS(bad_flags, .flags = 0x80);

	CHECK(uxdp_object_load(object, &bad_engine) == -EINVAL && uxdp_object_load(object, &bad_flags) == -EINVAL);
	/* A refusal leaves the object as it was: it can be tried again. */
	CHECK(uxdp_object_load(object, &opts) == -EACCES && strstr(log, "invalid access to packet") != NULL);
	CHECK(strstr(last_error(), "is refused: invalid access to packet") != NULL);
	CHECK(uxdp_object_load(object, &long_log) == -EACCES && memchr(small, 0, sizeof(small)) != NULL);
	CHECK(strstr(small, "processed ") != NULL); /* its last lines */
	/* What is not loaded is not judged. */
	CHECK(uxdp_prog_set_autoload(uxdp_object_next_prog(object, NULL), 0) == 0 && uxdp_object_load(object, NULL) == 0);
	CHECK(uxdp_prog_hook(uxdp_object_next_prog(object, NULL)) == NULL);
	uxdp_object_free(object);

	object = load_object(maps_o);
	CHECK(uxdp_object_load(object, NULL) == -EALREADY);
	CHECK(uxdp_prog_set_autoload(uxdp_object_next_prog(object, NULL), 0) == -EBUSY);
	CHECK(uxdp_map_set_max_entries(uxdp_object_next_map(object, NULL), 4) == -EBUSY);
	CHECK(uxdp_prog_engine(uxdp_object_next_prog(object, NULL)) == UXDP_ENGINE_INTERP ||
	      uxdp_prog_engine(uxdp_object_next_prog(object, NULL)) == UXDP_ENGINE_JIT);
	uxdp_object_free(object);

	UXDP_LOAD_OPTS(interp, .engine = UXDP_ENGINE_INTERP);
	object = open_object(maps_o);
	CHECK(uxdp_object_load(object, &interp) == 0 && uxdp_prog_engine(uxdp_object_next_prog(object, NULL)) == UXDP_ENGINE_INTERP);
	CHECK(uxdp_prog_stack_size(uxdp_object_next_prog(object, NULL)) > 512);
	uxdp_object_free(object);
}

static void map_elements(void)
{
	struct uxdp_object *object = open_object(maps_o), *access, *second;
	struct uxdp_map *map = uxdp_object_next_map(object, NULL), *kept;
	uint32_t key, seen = 0;
	uint64_t value;
	UXDP_STRUCT(uxdp_map_info, info);

	CHECK(uxdp_map_get_info(map, &info) == 0 && info.type == 1 && info.id == 0 && info.max_entries == 16 && info.value_buf_size == 8);
	CHECK(uxdp_map_set_max_entries(map, 0) == -EINVAL && uxdp_map_set_max_entries(map, 4) == 0);
	CHECK(uxdp_map_set_initial_value(map, &value, 8) == -EINVAL);
	CHECK(uxdp_object_load(object, NULL) == 0);
	CHECK(uxdp_map_get_info(map, &info) == 0 && info.id != 0 && info.max_entries == 4 && info.key_size == 4 && info.memory_size > 0);
	CHECK(strcmp(info.name, "lengths") == 0 && info.sz == sizeof(info) && info.frozen == 0);

	key = 7;
	CHECK(uxdp_map_lookup_elem(map, &key, &value, 0) == -ENOENT && strcmp(last_error(), "map lengths: lookup: no such element or name") == 0);
	CHECK(uxdp_map_update_elem(map, &key, &value, 2) == -ENOENT);
	for (key = 0; key < 4; key++)
		CHECK(uxdp_map_update_elem(map, &key, &(uint64_t){key * 10}, 1) == 0);
	CHECK(uxdp_map_update_elem(map, &key, &value, 0) == -E2BIG && uxdp_map_update_elem(map, &(uint32_t){1}, &value, 1) == -EEXIST);
	CHECK(uxdp_map_update_elem(map, &key, &value, 77) == -EINVAL && uxdp_map_lookup_elem(map, &key, NULL, 0) == -EINVAL);
	for (int status = uxdp_map_get_next_key(map, NULL, &key); status == 0; status = uxdp_map_get_next_key(map, &key, &key)) {
		CHECK(uxdp_map_lookup_elem(map, &key, &value, 0) == 0 && value == key * 10);
		seen |= 1u << key;
	}
	CHECK(seen == 15 && uxdp_map_delete_elem(map, &(uint32_t){3}) == 0 && uxdp_map_delete_elem(map, &(uint32_t){3}) == -ENOENT);
	CHECK(uxdp_map_update_prog(map, 0, NULL) == -EINVAL);

	/* A second version of the program takes over the map with what it holds; another kind of map does not fit. */
	access = open_object(access_o);
	CHECK(uxdp_map_reuse(uxdp_object_find_map(access, "flags"), map) == -EINVAL);
	uxdp_object_free(access);
	second = open_object(maps_o);
	CHECK(uxdp_map_reuse(uxdp_object_next_map(second, NULL), uxdp_object_next_map(second, NULL)) == -EINVAL);
	CHECK(uxdp_map_reuse(uxdp_object_next_map(second, NULL), map) == 0 && uxdp_object_load(second, NULL) == 0);
	/* And a reference keeps a map when both objects are gone. */
	kept = uxdp_map_ref(map);
	uxdp_object_free(object);
	CHECK(uxdp_map_lookup_elem(uxdp_object_next_map(second, NULL), &(uint32_t){2}, &value, 0) == 0 && value == 20);
	uxdp_object_free(second);
	CHECK(uxdp_map_lookup_elem(kept, &(uint32_t){2}, &value, 0) == 0 && value == 20);
	CHECK(uxdp_map_freeze(kept) == 0 && uxdp_map_freeze(kept) == -EPERM && uxdp_map_update_elem(kept, &key, &value, 0) == -EPERM);
	CHECK(uxdp_map_get_info(kept, &info) == 0 && info.frozen == 1);
	uxdp_map_unref(kept);
}

static void test_runs_and_counters(void)
{
	struct uxdp_object *object = load_counting(access_o);
	struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);
	uint8_t out[64];
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet), .data_out = out, .data_size_out = sizeof(out), .repeat = 100);
	UXDP_STRUCT(uxdp_prog_stats, stats);

	packet[0] = 0xab;
	CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == UXDP_PASS && run.data_size_out == 64 && out[0] == 0xab);
	CHECK(run.redirect.kind == UXDP_REDIRECT_NONE);
	run.data_size_out = 10;
	CHECK(uxdp_prog_test_run(prog, &run) == -ENOSPC && run.data_size_out == 64);
	run.data_size_in = 13;
	CHECK(uxdp_prog_test_run(prog, &run) == -EINVAL);
	CHECK(uxdp_prog_stats(prog, UXDP_ALL_SLOTS, &stats) == 0 && stats.runs == 200 && stats.actions[UXDP_PASS] == 200);
	CHECK(stats.aborts[UXDP_ABORT_RETURNED] == 0 && uxdp_prog_stats(prog, 1 << 20, &stats) == -ERANGE);
	CHECK(uxdp_prog_stats(prog, -2, &stats) == -ERANGE && uxdp_prog_id(prog) > 0);
	uxdp_object_free(object);
}

static void set_packet(struct uxdp_ctx *ctx, uint8_t *buffer, size_t size)
{
	ctx->data_hard_start = buffer;
	ctx->data_meta = ctx->data = buffer + 256;
	ctx->data_end = ctx->data + 64;
	ctx->frame_end = buffer + size;
}

static void workers_and_hooks(void)
{
	struct uxdp_object *access = load_counting(access_o), *maps = load_counting(maps_o);
	struct uxdp_prog *progs[2] = {uxdp_object_next_prog(access, NULL), uxdp_object_next_prog(maps, NULL)};
	struct uxdp_worker *worker = NULL, *second = NULL;
	struct uxdp_hook *hook = NULL;
	struct uxdp_env *other = NULL;
	struct uxdp_ctx ctx;
	struct uxdp_pkt pkts[3];
	static uint8_t buffers[3][2048];
	UXDP_STRUCT(uxdp_hook_opts, hook_opts, .ingress_ifindex = 7, .rx_queue_index = 3);
	UXDP_STRUCT(uxdp_attach_opts, attach, .flags = 2);
	UXDP_STRUCT(uxdp_env_opts, env_opts, .nr_cpus = 1);
	UXDP_STRUCT(uxdp_prog_stats, stats);

	CHECK(uxdp_worker_register(NULL, 0, &worker) == 0 && uxdp_worker_register(NULL, 0, &second) == -EBUSY && second == NULL);
	CHECK(uxdp_worker_register(NULL, 1 << 20, &second) == -ERANGE);
	CHECK(uxdp_hook_create(NULL, &hook_opts, &hook) == 0);
	CHECK(uxdp_ctx_init_sized(&ctx, worker, hook, sizeof(ctx) - 8) == -EINVAL && uxdp_ctx_init(&ctx, NULL, hook) == -EINVAL);
	CHECK(uxdp_ctx_init(&ctx, worker, hook) == 0 && ctx.ingress_ifindex == 7 && ctx.rx_queue_index == 3 && ctx.slot == 0);

	/* No program, one, both in order, none again: the context stays the same. */
	set_packet(&ctx, buffers[0], sizeof(buffers[0]));
	CHECK(xdp_run(&ctx) == UXDP_ABORTED);
	CHECK(uxdp_hook_set(hook, progs, 1, NULL) == 0 && xdp_run(&ctx) == UXDP_PASS);
	CHECK(uxdp_hook_set(hook, progs, 2, NULL) == 0 && uxdp_run(&ctx) == UXDP_PASS);
	CHECK(uxdp_hook_set(hook, progs, 1, &attach) == -EINVAL && uxdp_hook_set(hook, NULL, 1, NULL) == -EINVAL);
	CHECK(uxdp_hook_set(uxdp_prog_hook(progs[0]), progs, 1, NULL) == -EINVAL);
	CHECK(uxdp_prog_stats(progs[0], 0, &stats) == 0 && stats.runs == 2);
	CHECK(uxdp_prog_stats(progs[1], 0, &stats) == 0 && stats.runs == 1);

	memset(pkts, 0, sizeof(pkts));
	for (unsigned i = 0; i < 3; i++) {
		pkts[i].data_hard_start = buffers[i];
		pkts[i].data_meta = pkts[i].data = buffers[i] + 256;
		pkts[i].data_end = pkts[i].data + 60;
		pkts[i].frame_end = buffers[i] + sizeof(buffers[i]);
	}
	xdp_run_burst(&ctx, pkts, 3);
	CHECK(pkts[0].action == UXDP_PASS && pkts[2].action == UXDP_PASS && pkts[2].data == buffers[2] + 256);
	xdp_run_burst(&ctx, NULL, 0);

	/* The objects go while the hook still runs their programs. */
	uxdp_prog_ref(progs[1]);
	uxdp_object_free(access);
	uxdp_object_free(maps);
	set_packet(&ctx, buffers[0], sizeof(buffers[0]));
	CHECK(xdp_run(&ctx) == UXDP_PASS);
	CHECK(uxdp_prog_stats(progs[1], UXDP_ALL_SLOTS, &stats) == 0 && stats.runs == 5);
	CHECK(uxdp_hook_set(hook, NULL, 0, NULL) == 0 && xdp_run(&ctx) == UXDP_ABORTED);
	uxdp_worker_quiescent(worker);
	uxdp_worker_offline(worker);
	uxdp_worker_quiescent(worker);
	CHECK(uxdp_synchronize(NULL) == 0);
	uxdp_worker_online(worker);

	/* Nothing mixes with another environment. */
	CHECK(uxdp_env_create(&env_opts, &other) == 0 && uxdp_worker_register(other, 1, &second) == -ERANGE);
	CHECK(uxdp_worker_register(other, 0, &second) == 0 && uxdp_ctx_init(&ctx, second, hook) == -EINVAL);
	uxdp_worker_unregister(second);
	UXDP_OPEN_OPTS(wrong, .env = other, .nr_cpus = 5);
	CHECK(uxdp_object_open_file(maps_o, &wrong, &maps) == -EINVAL && maps == NULL);
	uxdp_env_free(other);

	uxdp_prog_unref(progs[1]);
	uxdp_hook_free(hook);
	uxdp_worker_unregister(worker);
}

/* An ARP packet: xdp_root calls the program of entry 0 for it. */
static uint32_t run_arp(struct uxdp_prog *prog)
{
	static uint8_t arp[64] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x06};
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = arp, .data_size_in = sizeof(arp));

	CHECK(uxdp_prog_test_run(prog, &run) == 0);
	return run.retval;
}

static void prog_arrays(void)
{
	struct uxdp_object *object = load_object(root_o), *access = load_object(access_o);
	struct uxdp_prog *root = uxdp_object_find_prog(object, "xdp_root"), *arp = uxdp_object_find_prog(object, "root_arp");
	struct uxdp_map *chain = uxdp_object_find_map(object, "chain");
	uint32_t id = 0, key = 0, empty = run_arp(root), full;

	CHECK(uxdp_object_find_prog(object, "xdp") == NULL); /* several programs have that section */
	CHECK(uxdp_map_update_prog(uxdp_object_next_map(access, NULL), 0, arp) == -EINVAL);
	CHECK(uxdp_map_lookup_elem(chain, &key, &id, 0) == -ENOENT && uxdp_map_update_prog(chain, 1000, arp) == -E2BIG);
	CHECK(uxdp_map_update_prog(chain, 0, arp) == 0 && uxdp_map_lookup_elem(chain, &key, &id, 0) == 0 && id == uxdp_prog_id(arp));
	CHECK(uxdp_map_update_elem(chain, &key, &id, 0) == -EINVAL);
	full = run_arp(root);
	CHECK(uxdp_map_update_prog(chain, 0, uxdp_object_next_prog(access, NULL)) == 0 && run_arp(root) == UXDP_PASS);
	CHECK(uxdp_map_delete_elem(chain, &key) == 0 && uxdp_map_delete_elem(chain, &key) == -ENOENT && run_arp(root) == empty);
	CHECK(uxdp_map_update_prog(chain, 0, arp) == 0 && run_arp(root) == full && uxdp_map_update_prog(chain, 0, NULL) == 0);
	/* A program in an array that it uses itself is no knot: freeing the object frees all of it. */
	CHECK(uxdp_map_update_prog(chain, 0, root) == 0);
	uxdp_object_free(access);
	uxdp_object_free(object);
}

static void *replace(void *arg)
{
	struct uxdp_hook *hook = arg;

	for (unsigned i = 0; i < 50; i++) {
		struct uxdp_object *object = load_object(i % 2 ? access_o : maps_o);
		struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);

		CHECK(uxdp_hook_set(hook, &prog, 1, NULL) == 0);
		uxdp_object_free(object);
	}
	return NULL;
}

/* A control plane replaces programs and frees their objects while packets run: each packet has a program. */
static void replacement_under_traffic(void)
{
	struct uxdp_object *object = load_object(access_o);
	struct uxdp_prog *prog = uxdp_object_next_prog(object, NULL);
	struct uxdp_worker *worker = NULL;
	struct uxdp_hook *hook = NULL;
	static uint8_t buffer[2048];
	struct uxdp_ctx ctx;
	pthread_t thread;

	CHECK(uxdp_worker_register(NULL, 0, &worker) == 0 && uxdp_hook_create(NULL, NULL, &hook) == 0);
	CHECK(uxdp_hook_set(hook, &prog, 1, NULL) == 0 && uxdp_ctx_init(&ctx, worker, hook) == 0);
	uxdp_object_free(object);
	CHECK(pthread_create(&thread, NULL, replace, hook) == 0);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		for (unsigned i = 0; i < 32; i++) {
			set_packet(&ctx, buffer, sizeof(buffer));
			CHECK(xdp_run(&ctx) == UXDP_PASS);
		}
		uxdp_worker_quiescent(worker);
	}
	uxdp_hook_free(hook);
	uxdp_worker_unregister(worker);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	access_o = argv[1], maps_o = argv[2], root_o = argv[3], refused_o = argv[4], core_o = argv[5];
	CHECK(uxdp_last_error(NULL, 0) == 0 && strcmp(uxdp_strerror(-EINVAL), "invalid argument") == 0);
	CHECK(strcmp(uxdp_version(), "0.1.0") == 0);
	null_arguments();
	opening();
	names_and_order();
	loading();
	map_elements();
	test_runs_and_counters();
	workers_and_hooks();
	prog_arrays();
	replacement_under_traffic();
	puts("ok");
	return 0;
}
