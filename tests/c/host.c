/* What a C host gives to programs: routes, sockets and connections, helpers of its own, packets in several buffers: host mine.o host.o fib.o frags.o named.o long.o slots.o kernel_only.o held.o */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uxdp.h>

#include "check.h"

static const char *last_error(void)
{
	static char why[512];

	uxdp_last_error(why, sizeof(why));
	return why;
}

/* Opens an object with one program to load. */
static struct uxdp_object *open_one(const char *path, struct uxdp_env *env, const char *program)
{
	struct uxdp_object *object = NULL;
	UXDP_OPEN_OPTS(opts, .env = env);

	CHECK(uxdp_object_open_file(path, &opts, &object) == 0);
	for (struct uxdp_prog *p = uxdp_object_next_prog(object, NULL); p != NULL; p = uxdp_object_next_prog(object, p))
		CHECK(uxdp_prog_set_autoload(p, strcmp(uxdp_prog_name(p), program) == 0) == 0);
	return object;
}

static int64_t number(struct uxdp_object *object, unsigned i)
{
	struct uxdp_map *map = uxdp_object_find_map(object, ".bss");
	UXDP_STRUCT(uxdp_map_info, info);
	uint8_t *all;
	int64_t n;

	CHECK(uxdp_map_get_info(map, &info) == 0);
	all = malloc(info.value_buf_size);
	CHECK(uxdp_map_lookup_elem(map, &(uint32_t){0}, all, 0) == 0);
	memcpy(&n, all + 8 * i, 8);
	free(all);
	return n;
}

/* Helpers of our own. */

static uint64_t sum(uint64_t bytes, uint64_t size, uint64_t r3, uint64_t r4, uint64_t r5, struct uxdp_ctx *ctx)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)bytes;
	uint64_t total = 0;

	(void)r3, (void)r4, (void)r5, (void)ctx;
	while (size--)
		total += *at++;
	return total;
}

static uint64_t put(uint64_t r1, uint64_t out, uint64_t r3, uint64_t r4, uint64_t r5, struct uxdp_ctx *ctx)
{
	(void)r1, (void)r3, (void)r4, (void)r5, (void)ctx;
	*(int64_t *)(uintptr_t)out = 77;
	return 0;
}

static uint64_t skip(uint64_t r1, uint64_t bytes, uint64_t r3, uint64_t r4, uint64_t r5, struct uxdp_ctx *ctx)
{
	(void)r1, (void)r3, (void)r4, (void)r5;
	ctx->data += bytes;
	ctx->data_meta = ctx->data;
	return 0;
}

static const struct uxdp_helper mine[] = {
	{sizeof(mine[0]), "host_sum", sum, 40000, {UXDP_ARG_MEM, UXDP_ARG_SIZE}, UXDP_RET_INTEGER, UXDP_HELPER_TAKES_PACKET},
	{sizeof(mine[0]), "host_put", put, 40001, {UXDP_ARG_CTX, UXDP_ARG_LONG_OUT}, UXDP_RET_INTEGER, 0},
	{sizeof(mine[0]), "host_skip", skip, 40002, {UXDP_ARG_CTX, UXDP_ARG_ANYTHING}, UXDP_RET_INTEGER, UXDP_HELPER_CHANGES_PACKET},
};

static int refused(struct uxdp_helper helper)
{
	struct uxdp_env *env = NULL;
	UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 2, .helpers = &helper, .nr_helpers = 1);

	return uxdp_env_create(&opts, &env);
}

static void helpers(const char *path)
{
	struct uxdp_env *env = NULL, *plain = NULL;
	struct uxdp_object *object;
	struct uxdp_helper bad = mine[0], two[2] = {mine[0], mine[0]};
	uint8_t packet[64] = {1, 2, 3, 4, 5, 6, 7, 8};
	UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 2, .helpers = mine, .nr_helpers = 3);
	UXDP_STRUCT(uxdp_env_opts, twice, .nr_cpus = 2, .helpers = two, .nr_helpers = 2);

	CHECK(uxdp_env_create(&opts, &env) == 0);
	for (uint32_t engine = UXDP_ENGINE_AUTO; engine <= UXDP_ENGINE_INTERP; engine++) {
		UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
		UXDP_LOAD_OPTS(load, .engine = engine);

		object = open_one(path, env, "mine");
		CHECK(uxdp_object_load(object, &load) == 0);
		CHECK(uxdp_prog_test_run(uxdp_object_find_prog(object, "mine"), &run) == 0 && run.retval == UXDP_TX && run.data_size_out == 60);
		uxdp_object_free(object);
	}
	/* The verifier proves what the prototype says. */
	object = open_one(path, env, "mine_wrong");
	CHECK(uxdp_object_load(object, NULL) == -EACCES && strstr(last_error(), "packet") != NULL);
	uxdp_object_free(object);
	/* Another environment does not have them. */
	CHECK(uxdp_env_create(NULL, &plain) == 0);
	object = open_one(path, plain, "mine");
	CHECK(uxdp_object_load(object, NULL) < 0 && strstr(last_error(), "40000") != NULL);
	uxdp_object_free(object);
	uxdp_env_free(plain);
	uxdp_env_free(env);

	CHECK(uxdp_env_create(&twice, &env) == -EEXIST && strstr(last_error(), "40000") != NULL);
	two[1].id = 40001;
	CHECK(uxdp_env_create(&twice, &env) == -EEXIST && strstr(last_error(), "the name host_sum") != NULL);
	bad.name = "bpf_xdp_metadata_rx_hash";
	CHECK(refused(bad) == -EEXIST);
	bad = mine[0], bad.id = 1;
	CHECK(refused(bad) == -EINVAL && strstr(last_error(), "host_sum: its number") != NULL);
	bad = mine[0], bad.func = NULL;
	CHECK(refused(bad) == -EINVAL);
	bad = mine[0], bad.name = NULL;
	CHECK(refused(bad) == -EINVAL);
	bad = mine[0], bad.args[1] = UXDP_ARG_ANYTHING;
	CHECK(refused(bad) == -EINVAL && strstr(last_error(), "memory without a size") != NULL);
	bad = mine[0], bad.args[0] = 99;
	CHECK(refused(bad) == -EINVAL);
	bad = mine[0], bad.flags = 8;
	CHECK(refused(bad) == -EINVAL);
}

/* The verdict of a program on eight known bytes, on an engine. */
static uint32_t verdict(const char *path, struct uxdp_env *env, const char *program, uint32_t engine)
{
	uint8_t packet[64] = {1, 2, 3, 4, 5, 6, 7, 8};
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	UXDP_LOAD_OPTS(load, .engine = engine);
	struct uxdp_object *object = open_one(path, env, program);

	CHECK(uxdp_object_load(object, &load) == 0);
	CHECK(uxdp_prog_test_run(uxdp_object_find_prog(object, program), &run) == 0);
	uxdp_object_free(object);
	return run.retval;
}

/* The same helpers, by name. */
static void named(const char *path)
{
	struct uxdp_env *env = NULL, *plain = NULL;
	struct uxdp_object *object;
	UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 2, .helpers = mine, .nr_helpers = 3);

	CHECK(uxdp_env_create(&opts, &env) == 0);
	CHECK(uxdp_env_create(NULL, &plain) == 0);
	for (uint32_t engine = UXDP_ENGINE_AUTO; engine <= UXDP_ENGINE_INTERP; engine++) {
		CHECK(verdict(path, env, "named_strong", engine) == UXDP_TX);
		CHECK(verdict(path, env, "named_weak", engine) == UXDP_TX);
		CHECK(verdict(path, plain, "named_weak", engine) == UXDP_PASS);
	}
	object = open_one(path, env, "named_wrong");
	CHECK(uxdp_object_load(object, NULL) == -EACCES && strstr(last_error(), "packet") != NULL);
	uxdp_object_free(object);
	object = open_one(path, plain, "named_strong");
	CHECK(uxdp_object_load(object, NULL) == -EOPNOTSUPP);
	CHECK(strstr(last_error(), "host_sum") != NULL && strstr(last_error(), "uxdp_env_opts.helpers") != NULL);
	uxdp_object_free(object);
	uxdp_env_free(plain);
	uxdp_env_free(env);
}

/* Sockets and connections: one of each. */

struct host {
	int listener, udp, taken, connections;
	struct {
		uint8_t tuple[12];
		uint32_t timeout, status;
	} conn;
	int known;
};

static void *sk_lookup(void *arg, const struct uxdp_socket_query *q)
{
	struct host *h = arg;
	const uint8_t *port = (const uint8_t *)q->tuple + q->tuple_size - 2;
	void *found = NULL;

	if (q->netns != -1)
		return NULL;
	if (q->kind != 1 && port[0] == 0 && port[1] == 80)
		found = &h->listener;
	if (q->kind == 1 && port[0] == 0 && port[1] == 53)
		found = &h->udp;
	h->taken += found != NULL;
	return found;
}

static void sk_release(void *arg, void *sk)
{
	struct host *h = arg;

	CHECK(sk == &h->listener || sk == &h->udp);
	h->taken--;
}

static int gen(void *arg, void *sk, const void *ip, size_t ip_size, const void *tcp, size_t tcp_size, uint32_t *cookie, uint16_t *mss)
{
	(void)arg, (void)sk, (void)ip, (void)tcp;
	CHECK(ip_size >= 20 && tcp_size >= 20);
	*cookie = 77;
	*mss = 1460;
	return 0;
}

static int check(void *arg, void *sk, const void *ip, size_t ip_size, const void *tcp, size_t tcp_size)
{
	(void)arg, (void)sk, (void)ip, (void)ip_size, (void)tcp_size;
	return ((const uint8_t *)tcp)[11] == 78 ? 0 : -ENOENT;
}

static void *ct_alloc(void *arg, const struct uxdp_ct_query *q, int *error)
{
	struct host *h = arg;

	if (h->known || q->tuple_size != 12) {
		*error = -EEXIST;
		return NULL;
	}
	memcpy(h->conn.tuple, q->tuple, 12);
	return &h->conn;
}

static void *ct_lookup(void *arg, const struct uxdp_ct_query *q, uint8_t *direction, int *error)
{
	struct host *h = arg;

	if (!h->known || memcmp(h->conn.tuple, q->tuple, 12) != 0) {
		*error = -ENOENT;
		return NULL;
	}
	*direction = 0;
	h->connections++;
	return &h->conn;
}

static void *ct_insert(void *arg, void *ct)
{
	struct host *h = arg;

	h->known = 1;
	h->connections++;
	return ct;
}

static void ct_release(void *arg, void *ct)
{
	(void)ct;
	((struct host *)arg)->connections--;
}

static void ct_set_timeout(void *arg, void *ct, uint32_t timeout)
{
	(void)ct;
	((struct host *)arg)->conn.timeout = timeout;
}

static int ct_change_timeout(void *arg, void *ct, uint32_t timeout)
{
	ct_set_timeout(arg, ct, timeout);
	return 0;
}

static int ct_set_status(void *arg, void *ct, uint32_t status)
{
	(void)ct;
	((struct host *)arg)->conn.status = status;
	return 0;
}

static void run_one(const char *path, struct uxdp_env *env, const char *program, const int64_t *expected, unsigned n, unsigned at)
{
	uint8_t packet[64] = {0};
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	struct uxdp_object *object = open_one(path, env, program);

	CHECK(uxdp_object_load(object, NULL) == 0);
	CHECK(uxdp_prog_test_run(uxdp_object_find_prog(object, program), &run) == 0 && run.retval == UXDP_PASS);
	for (unsigned i = 0; i < n; i++)
		CHECK(number(object, at + i) == expected[i]);
	uxdp_object_free(object);
}

static void callbacks(const char *path)
{
	static struct host h;
	struct uxdp_env *env = NULL;
	struct uxdp_object *object;
	UXDP_STRUCT(uxdp_host_ops, ops, .arg = &h, .sk_lookup = sk_lookup);
	UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 2, .host = &ops);

	/* What is not there refuses by name. */
	CHECK(uxdp_env_create(&opts, &env) == 0);
	object = open_one(path, env, "host_sockets");
	CHECK(uxdp_object_load(object, NULL) == -EOPNOTSUPP);
	CHECK(strstr(last_error(), "bpf_sk_release#86 wants the host, which does not provide sk_release") != NULL);
	uxdp_object_free(object);
	uxdp_env_free(env);

	ops.sk_release = sk_release, ops.tcp_gen_syncookie = gen, ops.tcp_check_syncookie = check;
	ops.ct_alloc = ct_alloc, ops.ct_lookup = ct_lookup, ops.ct_insert = ct_insert, ops.ct_release = ct_release;
	ops.ct_set_timeout = ct_set_timeout, ops.ct_change_timeout = ct_change_timeout;
	ops.ct_set_status = ops.ct_change_status = ct_set_status;
	CHECK(uxdp_env_create(&opts, &env) == 0);
	run_one(path, env, "host_no_socket", (int64_t[]){0, 0, 0, 0, 0, 0, 0}, 7, 0);
	run_one(path, env, "host_sockets", (int64_t[]){1, 0, 1, 0, 0, 0, 0, 0}, 8, 0);
	run_one(path, env, "host_sockets", (int64_t[]){77 | 1460ll << 32, -EINVAL, -EINVAL, -ENOENT, -EINVAL, -ENOENT, 0, -EINVAL}, 8, 16);
	run_one(path, env, "host_connections", (int64_t[]){0, -ENOENT, 1, 0, 1, 0, 0, 1, 77, 0}, 10, 0);
	CHECK(h.taken == 0 && h.connections == 0 && h.conn.timeout == 20000 && h.conn.status == 8);
	uxdp_env_free(env);
}

/* Routes. */

static void ask(struct uxdp_object *object, const uint8_t *to, uint8_t *answer)
{
	uint8_t question[80] = {2};
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = question, .data_size_in = 80, .data_out = answer, .data_size_out = 80);

	question[8] = 3;
	memcpy(question + 32, to, 4);
	CHECK(uxdp_prog_test_run(uxdp_object_find_prog(object, "fib_query"), &run) == 0 && run.retval == UXDP_PASS);
}

static void routes(const char *path)
{
	struct uxdp_env *env = NULL;
	struct uxdp_fib *fib = NULL;
	struct uxdp_object *object;
	uint8_t answer[80];
	UXDP_STRUCT(uxdp_link, link, .ifindex = 3, .mtu = 1500, .header_len = 14, .forwards_v4 = 1);
	struct uxdp_next_hop hop = {.ifindex = 3, .gateway = {.family = 4, .bytes = {10, 0, 0, 9}}};
	UXDP_STRUCT(uxdp_route, route, .table = UXDP_TABLE_MAIN, .metric = 5, .nr_hops = 1);
	struct uxdp_ip gateway = hop.gateway, own = {.family = 4, .prefix_len = 24, .bytes = {10, 0, 0, 1}}, none = {0}, odd = {.family = 5};

	memcpy(link.address, (uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
	route.prefix = (struct uxdp_ip){.family = 4, .prefix_len = 8, .bytes = {20}};
	route.hops = &hop;
	CHECK(uxdp_env_create(NULL, &env) == 0);
	object = open_one(path, env, "fib_query");
	CHECK(uxdp_object_load(object, NULL) == -EOPNOTSUPP && strstr(last_error(), "uxdp_fib_publish") != NULL);

	CHECK(uxdp_fib_create(NULL) == -EINVAL && uxdp_fib_create(&fib) == 0);
	CHECK(uxdp_fib_publish(NULL, env) == -EINVAL && uxdp_fib_publish(fib, env) == 0);
	CHECK(uxdp_object_load(object, NULL) == 0);
	ask(object, (uint8_t[]){20, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == -ENODEV);

	CHECK(uxdp_fib_set_link(NULL, &link) == -EINVAL && uxdp_fib_set_link(fib, NULL) == -EINVAL && uxdp_fib_set_link(fib, &link) == 0);
	CHECK(uxdp_fib_set_route(fib, NULL) == -EINVAL && uxdp_fib_set_route(fib, &route) == 0);
	CHECK(uxdp_fib_set_neighbour(fib, 3, &gateway, NULL) == -EINVAL && uxdp_fib_set_neighbour(fib, 3, &none, link.address) == -EINVAL);
	CHECK(uxdp_fib_set_neighbour(fib, 3, &gateway, (uint8_t[]){2, 0, 0, 0, 0, 9}) == 0);
	CHECK(uxdp_fib_set_address(fib, 3, &own) == 0 && uxdp_fib_set_address(fib, 3, &odd) == -EINVAL);
	ask(object, (uint8_t[]){20, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == -ENODEV); /* not published yet */
	CHECK(uxdp_fib_publish(fib, env) == 0);
	ask(object, (uint8_t[]){20, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == 0 && answer[8] == 3 && answer[12] == 5 && memcmp(answer + 32, gateway.bytes, 4) == 0);
	CHECK(memcmp(answer + 52, (uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9}, 12) == 0);
	ask(object, (uint8_t[]){21, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == 4); /* BPF_FIB_LKUP_RET_NOT_FWDED */

	route.kind = 99;
	CHECK(uxdp_fib_set_route(fib, &route) == -EINVAL);
	route.kind = UXDP_ROUTE_UNICAST, route.nr_hops = 0;
	CHECK(uxdp_fib_set_route(fib, &route) == -EINVAL);
	CHECK(uxdp_fib_remove_neighbour(fib, 3, &gateway) == 0 && uxdp_fib_remove_neighbour(fib, 3, &gateway) == -ENOENT);
	CHECK(uxdp_fib_remove_address(fib, 3, &own) == 0 && uxdp_fib_remove_address(fib, 3, &own) == -ENOENT);
	CHECK(uxdp_fib_publish(fib, env) == 0);
	ask(object, (uint8_t[]){20, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == 7); /* BPF_FIB_LKUP_RET_NO_NEIGH */
	route.kind = UXDP_ROUTE_BLACKHOLE;
	CHECK(uxdp_fib_remove_route(fib, &route) == 0 && uxdp_fib_remove_route(fib, &route) == -ENOENT);
	CHECK(uxdp_fib_set_route(fib, &route) == 0 && uxdp_fib_publish(fib, env) == 0);
	ask(object, (uint8_t[]){20, 1, 1, 1}, answer);
	CHECK(*(int64_t *)(answer + 72) == 1); /* BPF_FIB_LKUP_RET_BLACKHOLE */
	CHECK(uxdp_fib_remove_link(fib, 3) == 0 && uxdp_fib_remove_link(fib, 3) == -ENOENT);
	CHECK(uxdp_fib_clear(NULL) == -EINVAL && uxdp_fib_clear(fib) == 0);
	uxdp_fib_free(fib), uxdp_fib_free(NULL);
	uxdp_object_free(object);
	uxdp_env_free(env);
}

/* A packet in three buffers. */
static void fragments(const char *path)
{
	static uint8_t first[2048], second[1024], third[1024];
	struct uxdp_env *env = NULL;
	struct uxdp_worker *worker = NULL;
	struct uxdp_object *object;
	struct uxdp_prog *prog;
	struct uxdp_ctx ctx;
	struct uxdp_frags frags = {.nr = 2, .frags = {{second, 600, 1024, &second}, {third, 300, 1024, &third}}};
	int32_t by[2] = {-310, 24};

	CHECK(uxdp_env_create(NULL, &env) == 0);
	object = open_one(path, env, "frags_tail");
	CHECK(uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_find_prog(object, "frags_tail");
	CHECK(uxdp_hook_takes_frags(NULL) == -EINVAL && uxdp_hook_takes_frags(uxdp_prog_hook(prog)) == 1);
	CHECK(uxdp_worker_register(env, 0, &worker) == 0 && uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog)) == 0);
	memcpy(first + 256, by, sizeof(by));
	ctx.data_hard_start = first, ctx.data_meta = ctx.data = first + 256, ctx.data_end = first + 356, ctx.frame_end = first + sizeof(first);
	ctx.frags = &frags;
	CHECK(xdp_run(&ctx) == UXDP_PASS);
	/* 310 bytes go: the third buffer's 300, and 10 of the second's, which then grows by 24. */
	CHECK(frags.nr == 1 && frags.nr_released == 1 && frags.frags[0].len == 614 && frags.frags[1].cookie == &third);
	CHECK(number(object, 0) == 0 && number(object, 1) == 690 && number(object, 3) == 0 && number(object, 4) == 714);
	uxdp_worker_unregister(worker);
	uxdp_object_free(object);

	/* A test run makes fragments of what does not fit one buffer. */
	static uint8_t large[9000], back[9000];
	UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = large, .data_size_in = sizeof(large), .data_out = back, .data_size_out = sizeof(back));

	for (unsigned i = 8; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7);
	by[0] = -1000, by[1] = 0;
	memcpy(large, by, sizeof(by));
	object = open_one(path, env, "frags_tail");
	CHECK(uxdp_object_load(object, NULL) == 0 && uxdp_prog_test_run(uxdp_object_find_prog(object, "frags_tail"), &run) == 0);
	CHECK(run.retval == UXDP_PASS && run.data_size_out == 8000 && memcmp(large, back, 8000) == 0);
	CHECK(number(object, 1) == 8000 && number(object, 2) == 3520);
	uxdp_object_free(object);
	uxdp_env_free(env);
}

/* A run that would take hours ends when its time is over. */
static void watchdog(const char *path)
{
	uint8_t packet[64] = {1};

	for (uint32_t engine = UXDP_ENGINE_AUTO; engine <= UXDP_ENGINE_INTERP; engine++) {
		struct uxdp_object *object = open_one(path, NULL, "long_run");
		UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
		UXDP_STRUCT(uxdp_prog_stats, stats);
		UXDP_LOAD_OPTS(load, .engine = engine, .run_time_limit = 500000);
		struct uxdp_prog *prog = uxdp_object_find_prog(object, "long_run");

		CHECK(uxdp_object_load(object, &load) == 0);
		CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == UXDP_ABORTED);
		CHECK(uxdp_prog_stats(prog, UXDP_ALL_SLOTS, &stats) == 0 && stats.aborts[UXDP_ABORT_TIME] == 1);
		packet[0] = 0;
		CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == UXDP_PASS);
		packet[0] = 1;
		uxdp_object_free(object);
	}
}

/* A run that is ended gives back what it holds of the host's. */
static void held(const char *path)
{
	static const uint8_t places[] = {1, 2, 4, 6, 7, 9};
	static struct host h;
	struct uxdp_env *env = NULL;
	UXDP_STRUCT(uxdp_host_ops, ops, .arg = &h, .sk_lookup = sk_lookup, .sk_release = sk_release, .ct_alloc = ct_alloc, .ct_lookup = ct_lookup,
		    .ct_insert = ct_insert, .ct_release = ct_release);
	UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 2, .host = &ops);

	CHECK(uxdp_env_create(&opts, &env) == 0);
	for (uint32_t engine = UXDP_ENGINE_AUTO; engine <= UXDP_ENGINE_INTERP; engine++) {
		struct uxdp_object *object = open_one(path, env, "held");
		UXDP_LOAD_OPTS(load, .engine = engine, .run_limit = 100000);
		UXDP_STRUCT(uxdp_prog_stats, stats);
		struct uxdp_prog *prog = uxdp_object_find_prog(object, "held");

		CHECK(uxdp_object_load(object, &load) == 0);
		for (unsigned i = 0; i < sizeof(places); i++) {
			/* A million turns. */
			uint8_t packet[64] = {places[i], 0x40, 0x42, 0x0f, 0};
			UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));

			h.known = 0;
			CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == UXDP_ABORTED);
			CHECK(h.taken == 0 && h.connections == 0);
			CHECK(uxdp_prog_stats(prog, UXDP_ALL_SLOTS, &stats) == 0 && stats.aborts[UXDP_ABORT_LIMIT] == i + 1);
			packet[2] = packet[3] = 0;
			h.known = 0;
			CHECK(uxdp_prog_test_run(prog, &run) == 0 && run.retval == UXDP_PASS && h.taken == 0 && h.connections == 0);
		}
		uxdp_object_free(object);
	}
	uxdp_env_free(env);
}

/* What the object itself puts into its prog array is there when it is loaded. */
static void slots(const char *path)
{
	static const uint32_t verdicts[] = {UXDP_TX, UXDP_DROP, UXDP_DROP, UXDP_DROP, UXDP_PASS, UXDP_PASS};
	/* How often each program ran: at first, in a slot, in itself 33 times and 17 of 33, and the way on behind the last call. */
	static const int64_t ran[] = {6, 1, 33 + 17, 2, 16};
	struct uxdp_object *object;

	for (uint32_t engine = UXDP_ENGINE_AUTO; engine <= UXDP_ENGINE_INTERP; engine++) {
		UXDP_LOAD_OPTS(load, .engine = engine);

		CHECK(uxdp_object_open_file(path, NULL, &object) == 0);
		CHECK(uxdp_object_load(object, &load) == 0);
		for (uint8_t i = 0; i < 6; i++) {
			uint8_t packet[64] = {i};
			UXDP_STRUCT(uxdp_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));

			CHECK(uxdp_prog_test_run(uxdp_object_find_prog(object, "slots"), &run) == 0 && run.retval == verdicts[i]);
		}
		for (unsigned i = 0; i < 5; i++)
			CHECK(number(object, i) == ran[i]);
		/* Slot 1 was empty, both other indexes are beyond the array. */
		CHECK(number(object, 9) == 1 && number(object, 10) == 1 && number(object, 11) == 1);
		uxdp_object_free(object);
	}
	/* A program that is not to be loaded cannot stand in a slot. */
	object = open_one(path, NULL, "slots");
	CHECK(uxdp_object_load(object, NULL) == -EINVAL && strstr(last_error(), "map jumps: entry 0") != NULL);
	uxdp_object_free(object);
}

/* What needs objects of the kernel is refused by name, with the reason. */
static void kernel_only(const char *path)
{
	static const char *const refused[][2] = {
		{"other_cpu", "helper bpf_per_cpu_ptr#153"},
		{"this_cpu", "helper bpf_this_cpu_ptr#154"},
		{"exchanged", "helper bpf_kptr_xchg#194"},
		{"cast", "kernel function bpf_rdonly_cast"},
	};

	for (unsigned i = 0; i < 4; i++) {
		struct uxdp_object *object = open_one(path, NULL, refused[i][0]);

		CHECK(uxdp_object_load(object, NULL) < 0 && strstr(last_error(), refused[i][1]) != NULL);
		CHECK(strstr(last_error(), "is not provided: it needs objects of the kernel") != NULL);
		uxdp_object_free(object);
	}
}

int main(int argc, char **argv)
{
	if (argc != 10)
		return 2;
	helpers(argv[1]);
	callbacks(argv[2]);
	routes(argv[3]);
	fragments(argv[4]);
	named(argv[5]);
	watchdog(argv[6]);
	slots(argv[7]);
	kernel_only(argv[8]);
	held(argv[9]);
	puts("ok");
	return 0;
}
