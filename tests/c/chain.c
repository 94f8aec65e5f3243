/* Several programs at one hook, and what its port offers: chain chain.o (tests/progs) xdp_fw.o frags.o (tests/progs). */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uxdp.h>

#include "check.h"

static struct uxdp_ctx ctx;
static struct uxdp_map *runs;

/* Runs a packet of so many bytes; `ran` is how often first, middle and last ran for it, a digit each. */
static uint32_t run(unsigned bytes, unsigned *ran)
{
	static uint8_t buffer[2048];
	uint64_t count, none = 0;
	uint32_t action;

	ctx.data_hard_start = buffer;
	ctx.data_meta = ctx.data = buffer + 256;
	ctx.data_end = ctx.data + bytes;
	ctx.frame_end = buffer + sizeof(buffer);
	action = xdp_run(&ctx);
	*ran = 0;
	for (uint32_t i = 0; i < 3; i++) {
		CHECK(uxdp_map_lookup_elem(runs, &i, &count, 0) == 0 && uxdp_map_update_elem(runs, &i, &none, 0) == 0);
		*ran = *ran * 10 + (unsigned)count;
	}
	return action;
}

/* What a port says of sending, and of its MTU. `sends` returns XDP_TX, and none of them takes packets in several buffers. */
static void sizes(struct uxdp_prog *plain, struct uxdp_prog *sends, const char *several)
{
	const uint32_t keeps[] = { 1 << UXDP_PASS };
	UXDP_STRUCT(uxdp_attach_opts, kept, .chain_call_actions = keeps);
	UXDP_STRUCT(uxdp_hook_opts, nothing, .offers = UXDP_OFFERS_STATED);
	UXDP_STRUCT(uxdp_hook_opts, tx, .offers = UXDP_OFFERS_STATED | UXDP_OFFERS_TX, .mtu = 1500, .buffer_size = 1514);
	UXDP_STRUCT(uxdp_hook_opts, large, .mtu = 9000, .buffer_size = 2048);
	UXDP_STRUCT(uxdp_hook_opts, both, .offers = UXDP_OFFERS_STATED, .mtu = 9000, .buffer_size = 2048);
	UXDP_STRUCT(uxdp_hook_opts, half, .mtu = 9000);
	UXDP_STRUCT(uxdp_hook_opts, old, .mtu = 9000, .buffer_size = 2048);
	const char *mtu = "packets in one buffer (no xdp.frags): an MTU of 9000 makes frames of 9014 bytes, and a buffer holds 2048";
	struct uxdp_object *object;
	struct uxdp_prog *prog;
	struct uxdp_hook *hook;
	uint32_t needs;
	char why[256];

	CHECK(uxdp_prog_needs(sends, &needs) == 0 && needs == (UXDP_OFFERS_TX | UXDP_OFFERS_SEVERAL_BUFFERS));
	CHECK(uxdp_prog_needs(plain, &needs) == 0 && needs == UXDP_OFFERS_SEVERAL_BUFFERS);
	CHECK(uxdp_hook_create(NULL, &nothing, &hook) == 0 && uxdp_hook_set(hook, &sends, 1, &kept) == -EOPNOTSUPP);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "does not offer what program last needs: tx") != NULL);
	/* After an XDP_TX that is forgotten, as the object itself says, the port has nothing to send. */
	CHECK(uxdp_hook_set(hook, &sends, 1, NULL) == 0);
	uxdp_hook_free(hook);
	CHECK(uxdp_hook_create(NULL, &tx, &hook) == 0 && uxdp_hook_set(hook, &sends, 1, &kept) == 0);
	uxdp_hook_free(hook);
	/* Who states the MTU alone has said nothing of the rest. */
	CHECK(uxdp_hook_create(NULL, &large, &hook) == 0 && uxdp_hook_set(hook, &sends, 1, &kept) == -EOPNOTSUPP);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "tx") == NULL && strstr(why, mtu) != NULL);
	CHECK(uxdp_object_open_file(several, NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_next_prog(object, NULL);
	CHECK(uxdp_hook_set(hook, &prog, 1, NULL) == 0 && uxdp_hook_takes_frags(hook) == 1);
	uxdp_hook_free(hook);
	uxdp_object_free(object);
	CHECK(uxdp_hook_create(NULL, &both, &hook) == 0 && uxdp_hook_set(hook, &sends, 1, &kept) == -EOPNOTSUPP);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "needs: tx, packets in one buffer") != NULL);
	uxdp_hook_free(hook);
	CHECK(uxdp_hook_create(NULL, &half, &hook) == -EINVAL);
	/* A host that was built before the MTU could be stated. */
	old.sz = offsetof(struct uxdp_hook_opts, mtu);
	CHECK(uxdp_hook_create(NULL, &old, &hook) == 0 && uxdp_hook_set(hook, &sends, 1, &kept) == 0);
	uxdp_hook_free(hook);
}

/* A port says what it offers, and a program that needs more is not attached. */
static void offers(struct uxdp_prog *plain, const char *redirecting)
{
	UXDP_STRUCT(uxdp_hook_opts, stated, .offers = UXDP_OFFERS_STATED);
	UXDP_STRUCT(uxdp_hook_opts, redirects, .offers = UXDP_OFFERS_STATED | UXDP_OFFERS_REDIRECT);
	UXDP_STRUCT(uxdp_hook_opts, buffers, .offers = UXDP_OFFERS_STATED | UXDP_OFFERS_SEVERAL_BUFFERS);
	UXDP_STRUCT(uxdp_hook_opts, unknown, .offers = 1 << 20);
	struct uxdp_object *object;
	struct uxdp_prog *prog;
	struct uxdp_hook *hook;
	uint32_t needs;
	char why[256];

	CHECK(uxdp_object_open_file(redirecting, NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	prog = uxdp_object_next_prog(object, NULL);
	CHECK(uxdp_prog_needs(prog, &needs) == 0 && needs == (UXDP_OFFERS_REDIRECT | UXDP_OFFERS_SEVERAL_BUFFERS));
	CHECK(uxdp_prog_needs(NULL, &needs) == -EINVAL && uxdp_prog_needs(prog, NULL) == -EINVAL);
	CHECK(uxdp_hook_create(NULL, &stated, &hook) == 0);
	CHECK(uxdp_hook_set(hook, &prog, 1, NULL) == -EOPNOTSUPP);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "needs: redirect") != NULL);
	CHECK(uxdp_hook_set(hook, &plain, 1, NULL) == 0);
	uxdp_hook_free(hook);
	CHECK(uxdp_hook_create(NULL, &redirects, &hook) == 0 && uxdp_hook_set(hook, &prog, 1, NULL) == 0);
	uxdp_hook_free(hook);
	CHECK(uxdp_hook_create(NULL, &buffers, &hook) == 0 && uxdp_hook_set(hook, &plain, 1, NULL) == -EOPNOTSUPP);
	CHECK(uxdp_last_error(why, sizeof(why)) > 0 && strstr(why, "xdp.frags") != NULL);
	uxdp_hook_free(hook);
	CHECK(uxdp_hook_create(NULL, &unknown, &hook) == -EINVAL);
	uxdp_object_free(object);
}

int main(int argc, char **argv)
{
	const uint32_t always[] = { 0xff, 0xff, 0xff }, never[] = { 0, 0, 0 }, last_first[] = { 9, 8, 7 };
	UXDP_STRUCT(uxdp_attach_opts, sorted, .flags = UXDP_ATTACH_BY_PRIORITY);
	UXDP_STRUCT(uxdp_attach_opts, all, .chain_call_actions = always);
	UXDP_STRUCT(uxdp_attach_opts, one, .flags = UXDP_ATTACH_BY_PRIORITY, .chain_call_actions = never, .priorities = last_first);
	struct uxdp_object *object;
	struct uxdp_worker *worker;
	struct uxdp_prog *progs[3];
	struct uxdp_hook *hook;
	unsigned ran;

	if (argc != 4)
		return 2;
	CHECK(uxdp_object_open_file(argv[1], NULL, &object) == 0 && uxdp_object_load(object, NULL) == 0);
	progs[0] = uxdp_object_find_prog(object, "last");
	progs[1] = uxdp_object_find_prog(object, "middle");
	progs[2] = uxdp_object_find_prog(object, "first");
	runs = uxdp_object_find_map(object, "runs");
	CHECK(progs[0] && progs[1] && progs[2] && runs && uxdp_worker_register(NULL, 0, &worker) == 0);
	CHECK(uxdp_hook_create(NULL, NULL, &hook) == 0 && uxdp_ctx_init(&ctx, worker, hook) == 0);

	/* As the objects say: priorities 5, 50 and 70; the first one goes on after a drop alone, the last one's XDP_TX is forgotten. */
	CHECK(uxdp_hook_set(hook, progs, 3, &sorted) == 0);
	CHECK(run(100, &ran) == UXDP_PASS && ran == 100);
	CHECK(run(60, &ran) == UXDP_PASS && ran == 111);
	/* In the order given. */
	CHECK(uxdp_hook_set(hook, progs, 3, NULL) == 0);
	CHECK(run(60, &ran) == UXDP_PASS && ran == 111);
	CHECK(uxdp_hook_set(hook, progs + 1, 2, NULL) == 0);
	CHECK(run(60, &ran) == UXDP_PASS && ran == 110);
	/* As the host says. */
	CHECK(uxdp_hook_set(hook, progs, 3, &all) == 0);
	CHECK(run(100, &ran) == UXDP_PASS && ran == 111);
	CHECK(uxdp_hook_set(hook, progs, 3, &one) == 0);
	CHECK(run(60, &ran) == UXDP_DROP && ran == 100);

	offers(progs[1], argv[2]);
	sizes(progs[1], progs[0], argv[3]);
	uxdp_hook_free(hook);
	uxdp_object_free(object);
	uxdp_worker_quiescent(worker);
	uxdp_worker_unregister(worker);
	puts("ok");
	return 0;
}
