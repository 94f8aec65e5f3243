/* Programs of entries: devices, CPUs, a packet for all, and a packet that another worker takes over. On each engine. */
#include "check.h"
#include <string.h>

#include <uxdp.h>

static uint8_t buffer[1024];

static void set_packet(struct uxdp_ctx *ctx)
{
	memset(buffer, 0xaa, sizeof(buffer));
	ctx->data_hard_start = buffer;
	ctx->data_meta = ctx->data = buffer + 256;
	ctx->data_end = ctx->data + 60;
	ctx->frame_end = buffer + sizeof(buffer);
}

/* Entry `key` leads to `number`, with a program or without. */
static void set(struct uxdp_map *m, uint32_t key, uint32_t number, struct uxdp_prog *p)
{
	uint32_t value[2] = { number, 0 };

	CHECK(uxdp_map_update_target(m, &key, value, p, 0) == 0);
}

static void devices(struct uxdp_object *obj, struct uxdp_ctx *ctx, struct uxdp_hook *hook)
{
	struct uxdp_map *map = uxdp_object_find_map(obj, "devices");
	struct uxdp_prog *ingress = uxdp_object_find_prog(obj, "ingress"), *everywhere = uxdp_object_find_prog(obj, "everywhere");
	struct uxdp_prog *egress = uxdp_object_find_prog(obj, "egress"), *stamp = uxdp_object_find_prog(obj, "stamp");
	struct uxdp_prog *back = uxdp_object_find_prog(obj, "back");
	struct uxdp_redirect all, target;
	uint32_t cursor = 0;
	UXDP_STRUCT(uxdp_prog_stats, stats);

	CHECK(map && ingress && everywhere && egress && stamp && back);
	CHECK(uxdp_hook_set(hook, &ingress, 1, NULL) == 0);
	set(map, 0, 5, NULL);
	set_packet(ctx);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && ctx->redirect.egress_prog == NULL && uxdp_run_entry(ctx) == UXDP_PASS);
	set(map, 0, 5, stamp);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && ctx->redirect.egress_prog != NULL && uxdp_run_entry(ctx) == UXDP_PASS);
	CHECK(ctx->data[5] == 5 && ctx->egress_ifindex == 5);
	CHECK(ctx->redirect.kind == UXDP_REDIRECT_DEVMAP && ctx->redirect.target == 5 && ctx->redirect.map != NULL);
	set(map, 0, 3, egress);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && uxdp_run_entry(ctx) == UXDP_DROP);
	set(map, 0, 4, egress);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && uxdp_run_entry(ctx) == UXDP_PASS);
	CHECK(uxdp_prog_stats(egress, UXDP_ALL_SLOTS, &stats) == 0 && stats.runs == 2);
	set(map, 0, 4, back);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && uxdp_run_entry(ctx) == UXDP_ABORTED);
	CHECK(uxdp_prog_stats(back, UXDP_ALL_SLOTS, &stats) == 0 && stats.aborts[UXDP_ABORT_UNKNOWN_CODE] == 1);

	/* To all but where it came from. */
	set(map, 0, 7, NULL);
	set(map, 1, 8, stamp);
	set(map, 3, 9, NULL);
	CHECK(uxdp_hook_set(hook, &everywhere, 1, NULL) == 0);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && ctx->redirect.flags == (UXDP_REDIRECT_BROADCAST | UXDP_REDIRECT_EXCLUDE_INGRESS));
	CHECK(uxdp_run_entry(ctx) == UXDP_PASS);
	all = ctx->redirect;
	CHECK(uxdp_redirect_next(&all, 7, &cursor, &target) == 1 && target.index == 1 && target.target == 8 && target.flags == 0);
	ctx->redirect = target;
	CHECK(uxdp_run_entry(ctx) == UXDP_PASS && ctx->data[5] == 8);
	CHECK(uxdp_redirect_next(&all, 7, &cursor, &target) == 1 && target.target == 9 && target.egress_prog == NULL);
	CHECK(uxdp_redirect_next(&all, 7, &cursor, &target) == 0 && uxdp_redirect_next(&all, 7, &cursor, &target) == 0);
	cursor = 0;
	CHECK(uxdp_redirect_next(&target, 7, &cursor, &all) == 0);
	memset(&target, 0, sizeof(target));
	CHECK(uxdp_redirect_next(&target, 7, &cursor, &all) == 0);
	ctx->redirect = target;
	CHECK(uxdp_run_entry(ctx) == UXDP_PASS);
	uxdp_redirect_hold(&target);
	uxdp_redirect_release(&target);
}

/* The second worker takes over what the first one redirects; both stand on one thread here. */
static void cpus(struct uxdp_object *obj, struct uxdp_ctx *ctx, struct uxdp_worker *first, struct uxdp_hook *hook)
{
	struct uxdp_map *map = uxdp_object_find_map(obj, "cpus"), *devices = uxdp_object_find_map(obj, "devices");
	struct uxdp_prog *to_cpu = uxdp_object_find_prog(obj, "to_cpu"), *onward = uxdp_object_find_prog(obj, "onward");
	struct uxdp_worker *second = NULL;
	struct uxdp_redirect handed;
	struct uxdp_ctx other;
	uint32_t key = 1;

	CHECK(uxdp_worker_register(NULL, 1, &second) == 0 && uxdp_ctx_init(&other, second, hook) == 0);
	CHECK(uxdp_hook_set(hook, &to_cpu, 1, NULL) == 0);
	set(map, 1, 64, onward);
	set(devices, 0, 6, NULL);
	set_packet(ctx);
	CHECK(xdp_run(ctx) == UXDP_REDIRECT && ctx->redirect.kind == UXDP_REDIRECT_CPUMAP && ctx->redirect.target == 1);
	handed = ctx->redirect;
	uxdp_redirect_hold(&handed);

	/* The entry goes, the program stays with the packet. */
	CHECK(uxdp_map_delete_elem(map, &key) == 0);
	uxdp_worker_quiescent(first);
	uxdp_worker_quiescent(second);
	set_packet(&other);
	other.redirect = handed;
	CHECK(uxdp_run_entry(&other) == UXDP_REDIRECT && other.data[11] == 1);
	CHECK(other.redirect.kind == UXDP_REDIRECT_DEVMAP && other.redirect.target == 6);
	CHECK(uxdp_run_entry(&other) == UXDP_PASS);
	uxdp_redirect_release(&handed);
	uxdp_worker_unregister(second);
}

int main(int argc, char **argv)
{
	static const uint32_t engines[] = { UXDP_ENGINE_INTERP, UXDP_ENGINE_AUTO };

	CHECK(argc == 2);
	for (unsigned i = 0; i < 2; i++) {
		UXDP_STRUCT(uxdp_load_opts, opts, .engine = engines[i], .flags = UXDP_LOAD_COUNT_ACTIONS);
		struct uxdp_object *obj = NULL;
		struct uxdp_worker *worker = NULL;
		struct uxdp_hook *hook = NULL;
		struct uxdp_ctx ctx;

		CHECK(uxdp_object_open_file(argv[1], NULL, &obj) == 0 && uxdp_object_load(obj, &opts) == 0);
		CHECK(uxdp_worker_register(NULL, 0, &worker) == 0 && uxdp_hook_create(NULL, NULL, &hook) == 0);
		CHECK(uxdp_ctx_init(&ctx, worker, hook) == 0);
		devices(obj, &ctx, hook);
		cpus(obj, &ctx, worker, hook);
		uxdp_hook_free(hook);
		uxdp_object_free(obj);
		uxdp_worker_unregister(worker);
	}
	puts("ok");
	return 0;
}
