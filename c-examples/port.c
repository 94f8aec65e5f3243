/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a host gives to programs: several at one port, routes, a helper of its own, limits, timers, and a new version of a program that keeps its maps.
 *
 *   port FILE [FILE...]
 *
 * The first program of each file runs at the port, in the order of the command line; each next one where the one before says XDP_PASS. Then the order is turned round, and
 * the first file is loaded anew in place of itself.
 */
#include <stdio.h>
#include <string.h>

#include <uxdp.h>

enum { MOST = 8, HEADROOM = 256, BUFFER = 2048, MTU = 1500 };

static const char *const actions[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};

/* Ethernet, IPv4 (UDP, 192.0.2.1 to 198.51.100.7), UDP to port 9, 22 bytes of payload. */
static const uint8_t packet[64] = {
	0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0x8e, 0x82, 192, 0, 2, 1, 198, 51, 100, 7,
	0x30, 0x39, 0, 9, 0, 30, 0, 0,
};

static int failed(const char *what, int status)
{
	char why[512];

	uxdp_last_error(why, sizeof(why));
	fprintf(stderr, "%s: %s: %s\n", what, uxdp_strerror(status), why);
	return 1;
}

/* A helper of this host's: in a program, `extern long host_sum(const void *bytes, __u64 size) __ksym;`. The verifier proves that `bytes` has `size` bytes. */
static uint64_t host_sum(uint64_t bytes, uint64_t size, uint64_t r3, uint64_t r4, uint64_t r5, struct uxdp_ctx *ctx)
{
	const uint8_t *at = (const uint8_t *)(uintptr_t)bytes;
	uint64_t sum = 0;

	(void)r3, (void)r4, (void)r5, (void)ctx;
	while (size--)
		sum += *at++;
	return sum;
}

static const struct uxdp_helper helpers[] = {
	{sizeof(struct uxdp_helper), "host_sum", host_sum, UXDP_HELPER_FIRST, {UXDP_ARG_MEM, UXDP_ARG_SIZE, 0, 0, 0}, UXDP_RET_INTEGER, UXDP_HELPER_TAKES_PACKET},
};

/* One link, one route over it, one neighbour: what bpf_fib_lookup and bpf_check_mtu answer from. */
static int publish_routes(struct uxdp_env *env)
{
	static const uint8_t far[6] = {0x02, 0, 0, 0, 0, 9};
	UXDP_STRUCT(uxdp_link, link, .ifindex = 1, .mtu = MTU, .header_len = 14, .forwards_v4 = 1);
	struct uxdp_ip gateway = {.family = 4, .bytes = {192, 0, 2, 254}};
	struct uxdp_next_hop hop = {.ifindex = 1, .gateway = gateway};
	UXDP_STRUCT(uxdp_route, route, .table = UXDP_TABLE_MAIN, .nr_hops = 1, .hops = &hop);
	struct uxdp_fib *fib = NULL;
	int status = uxdp_fib_create(&fib);

	route.prefix = (struct uxdp_ip){.family = 4, .prefix_len = 24, .bytes = {198, 51, 100, 0}};
	if (status == 0)
		status = uxdp_fib_set_link(fib, &link);
	if (status == 0)
		status = uxdp_fib_set_route(fib, &route);
	if (status == 0)
		status = uxdp_fib_set_neighbour(fib, 1, &gateway, far);
	/* Programs see all of it at once, or what was published before. */
	if (status == 0)
		status = uxdp_fib_publish(fib, env);
	uxdp_fib_free(fib);
	return status;
}

/* Opens and loads; maps that `before` has by the same name are used on, with what they hold. */
static int load(const char *file, struct uxdp_env *env, struct uxdp_object *before, struct uxdp_object **out, unsigned *kept)
{
	UXDP_OPEN_OPTS(open, .env = env);
	/* A run that takes more than a million instructions, or ten milliseconds, is aborted and counted. */
	UXDP_LOAD_OPTS(opts, .flags = UXDP_LOAD_COUNT_ACTIONS, .run_limit = 1000000, .run_time_limit = 10000000);
	int status = uxdp_object_open_file(file, &open, out);

	if (status != 0)
		return status;
	for (struct uxdp_map *map = uxdp_object_next_map(*out, NULL); map != NULL && before != NULL; map = uxdp_object_next_map(*out, map)) {
		struct uxdp_map *old = uxdp_object_find_map(before, uxdp_map_name(map));

		*kept += old != NULL && uxdp_map_reuse(map, old) == 0;
	}
	status = uxdp_object_load(*out, &opts);
	/* Objects of the host, which an aborted run could not give back: such programs have no limit. */
	if (status == -95) {
		opts.run_limit = opts.run_time_limit = 0;
		status = uxdp_object_load(*out, &opts);
	}
	return status;
}

/* One packet through whatever is attached. */
static int run(struct uxdp_worker *worker, struct uxdp_hook *hook)
{
	uint8_t buffer[HEADROOM + BUFFER];
	struct uxdp_ctx ctx;
	int status = uxdp_ctx_init(&ctx, worker, hook);
	uint32_t action;

	if (status != 0)
		return failed("context", status);
	ctx.data_hard_start = buffer;
	ctx.data_meta = ctx.data = buffer + HEADROOM;
	ctx.data_end = ctx.data + sizeof(packet);
	ctx.frame_end = buffer + sizeof(buffer);
	memcpy(ctx.data, packet, sizeof(packet));
	action = xdp_run(&ctx);
	printf("a packet: %s\n", action < 5 ? actions[action] : "?");
	if (action == UXDP_REDIRECT)
		printf("  to %llu\n", (unsigned long long)ctx.redirect.target);
	/* Timers of programs expire here and nowhere else; then whatever was replaced may go. */
	uxdp_worker_run_timers(worker, 16, NULL);
	uxdp_worker_quiescent(worker);
	return 0;
}

int main(int argc, char **argv)
{
	UXDP_STRUCT(uxdp_env_opts, env_opts, .nr_cpus = 1, .helpers = helpers, .nr_helpers = 1);
	/* What this port can do: a program that needs more is refused with the list. */
	UXDP_STRUCT(uxdp_hook_opts, hook_opts, .ingress_ifindex = 1, .mtu = MTU, .buffer_size = BUFFER,
		    .offers = UXDP_OFFERS_STATED | UXDP_OFFERS_TX | UXDP_OFFERS_REDIRECT | UXDP_OFFERS_HEADROOM | UXDP_OFFERS_METADATA);
	UXDP_STRUCT(uxdp_attach_opts, attach, .flags = UXDP_ATTACH_BY_PRIORITY);
	struct uxdp_object *objects[MOST] = {NULL}, *next = NULL;
	struct uxdp_prog *progs[MOST];
	uint32_t priorities[MOST];
	struct uxdp_env *env = NULL;
	struct uxdp_hook *hook = NULL;
	struct uxdp_worker *worker = NULL;
	unsigned n = (unsigned)argc - 1, kept = 0;
	int status, ret = 1;

	if (argc < 2 || n > MOST) {
		fprintf(stderr, "usage: %s FILE [FILE...], at most %d\n", argv[0], MOST);
		return 2;
	}
	if ((status = uxdp_env_create(&env_opts, &env)) != 0 || (status = publish_routes(env)) != 0 || (status = uxdp_hook_create(env, &hook_opts, &hook)) != 0 ||
	    (status = uxdp_worker_register(env, 0, &worker)) != 0) {
		failed("environment", status);
		goto out;
	}
	for (unsigned i = 0; i < n; i++) {
		if ((status = load(argv[i + 1], env, NULL, &objects[i], &kept)) != 0) {
			failed(argv[i + 1], status);
			goto out;
		}
		progs[i] = uxdp_object_next_prog(objects[i], NULL);
		priorities[i] = 10 * (i + 1);
	}
	attach.priorities = priorities;
	if ((status = uxdp_hook_set(hook, progs, n, &attach)) != 0) {
		failed("attach", status);
		goto out;
	}
	if (run(worker, hook) != 0)
		goto out;

	/* Another order: every burst sees the old set or the new one. */
	for (unsigned i = 0; i < n; i++)
		priorities[i] = 10 * (n - i);
	if ((status = uxdp_hook_set(hook, progs, n, &attach)) != 0) {
		failed("reorder", status);
		goto out;
	}
	if (run(worker, hook) != 0)
		goto out;

	/* A new version of the first program, which goes on with the maps of the old one. */
	if ((status = load(argv[1], env, objects[0], &next, &kept)) != 0) {
		failed("new version", status);
		goto out;
	}
	progs[0] = uxdp_object_next_prog(next, NULL);
	if ((status = uxdp_hook_set(hook, progs, n, &attach)) != 0) {
		failed("replace", status);
		goto out;
	}
	uxdp_object_free(objects[0]); /* what still runs of it goes when it was quiescent */
	objects[0] = next;
	printf("%s replaced, %u maps kept\n", uxdp_prog_name(progs[0]), kept);
	if (run(worker, hook) != 0)
		goto out;
	for (unsigned i = 0; i < n; i++) {
		UXDP_STRUCT(uxdp_prog_stats, stats);

		uxdp_prog_stats(progs[i], UXDP_ALL_SLOTS, &stats);
		printf("%s: %llu runs, %llu dropped, %llu over their limit; at most %d bytes of stack\n", uxdp_prog_name(progs[i]), (unsigned long long)stats.runs,
		       (unsigned long long)stats.actions[UXDP_DROP], (unsigned long long)(stats.aborts[UXDP_ABORT_LIMIT] + stats.aborts[UXDP_ABORT_TIME]),
		       uxdp_prog_stack_size(progs[i]));
	}
	ret = 0;
out:
	uxdp_worker_unregister(worker);
	uxdp_hook_free(hook);
	for (unsigned i = 0; i < MOST; i++)
		uxdp_object_free(objects[i]);
	uxdp_env_free(env);
	return ret;
}
