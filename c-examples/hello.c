/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The shortest whole program: load an object, run it on one packet, print the action.
 *
 *   hello FILE [PROGRAM]
 *
 * The packet is 64 bytes of IPv4 and UDP. Without a name the object's first program runs.
 */
#include <stdio.h>
#include <string.h>

#include <uxdp.h>

static const char *const actions[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};

/* Ethernet, IPv4 (UDP, 192.0.2.1 to 192.0.2.2), UDP to port 9, 22 bytes of payload. */
static const uint8_t packet[64] = {
	0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,			     /* Ethernet */
	0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0xf6, 0xb8, 192, 0, 2, 1, 192, 0, 2, 2, /* IPv4 */
	0x30, 0x39, 0, 9, 0, 30, 0, 0,						     /* UDP */
};

/* The step that failed, in words: the status, then what the library says of it. */
static int failed(const char *what, int status)
{
	char why[512];

	uxdp_last_error(why, sizeof(why));
	fprintf(stderr, "%s: %s: %s\n", what, uxdp_strerror(status), why);
	return 1;
}

static int run(struct uxdp_prog *prog, struct uxdp_worker *worker)
{
	uint8_t buffer[256 + 2048]; /* headroom, then room for a packet */
	struct uxdp_ctx ctx;
	int status = uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog));

	if (status != 0)
		return failed("context", status);
	ctx.data_hard_start = buffer;
	ctx.data_meta = ctx.data = buffer + 256;
	ctx.data_end = ctx.data + sizeof(packet);
	ctx.frame_end = buffer + sizeof(buffer);
	ctx.ingress_ifindex = 1;
	memcpy(ctx.data, packet, sizeof(packet));

	uint32_t action = xdp_run(&ctx);

	uxdp_worker_quiescent(worker);
	printf("%s: %s, %u bytes (%s)\n", uxdp_prog_name(prog), action < 5 ? actions[action] : "?", (unsigned)(ctx.data_end - ctx.data),
	       uxdp_prog_engine(prog) == UXDP_ENGINE_JIT ? "compiled" : "interpreted");
	return 0;
}

int main(int argc, char **argv)
{
	struct uxdp_object *object = NULL;
	struct uxdp_worker *worker = NULL;
	struct uxdp_prog *prog;
	int status, ret = 1;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s FILE [PROGRAM]\n", argv[0]);
		return 2;
	}
	if ((status = uxdp_object_open_file(argv[1], NULL, &object)) != 0)
		return failed(argv[1], status);
	if ((status = uxdp_object_load(object, NULL)) != 0) {
		failed(argv[1], status);
		goto out;
	}
	prog = argc == 3 ? uxdp_object_find_prog(object, argv[2]) : uxdp_object_next_prog(object, NULL);
	if (prog == NULL) {
		fprintf(stderr, "%s: no such program\n", argv[1]);
		goto out;
	}
	if ((status = uxdp_worker_register(NULL, 0, &worker)) != 0) {
		failed("worker", status);
		goto out;
	}
	ret = run(prog, worker);
out:
	uxdp_worker_unregister(worker);
	uxdp_object_free(object);
	return ret;
}
