/* Runs one program over packets through the C API: every OBJECT PROGRAM [elem MAP KEY VALUE | slot MAP INDEX PROGRAM]...
 *
 * Bytes are hex digits. Packets come as lines on standard input; for each, the action's number and the packet afterwards go to standard output. A value of a per-CPU
 * map is written to every CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uxdp.h>

#define HEADROOM 216
#define FRAME 3776
#define MUST(x) do { long status_ = (x); if (status_ < 0) { char why_[256]; uxdp_last_error(why_, sizeof(why_)); \
	fprintf(stderr, "%s: %ld %s\n", #x, status_, why_); exit(1); } } while (0)

static size_t bytes(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned byte;

	for (; n < room && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		out[n] = (uint8_t)byte;
	return n;
}

static void set_elem(struct uxdp_map *map, const char *key_hex, const char *value_hex)
{
	UXDP_STRUCT(uxdp_map_info, info);
	uint8_t key[256], one[256], *all;
	size_t stride;

	MUST(uxdp_map_get_info(map, &info));
	if (bytes(key_hex, key, sizeof(key)) != info.key_size || bytes(value_hex, one, sizeof(one)) != info.value_size)
		exit(2);
	all = calloc(1, info.value_buf_size);
	stride = info.value_buf_size > info.value_size ? (info.value_size + 7) / 8 * 8 : info.value_size;
	for (size_t at = 0; at + info.value_size <= info.value_buf_size; at += stride)
		memcpy(all + at, one, info.value_size);
	MUST(uxdp_map_update_elem(map, key, all, 0));
	free(all);
}

int main(int argc, char **argv)
{
	struct uxdp_object *object;
	struct uxdp_worker *worker;
	struct uxdp_prog *prog;
	struct uxdp_fib *fib;
	struct uxdp_ctx ctx;
	static char line[2 * FRAME + 2];
	static uint8_t frame[FRAME];

	if (argc < 3 || (argc - 3) % 4 != 0)
		return 2;
	/* A network without routes, for programs that look for one. */
	MUST(uxdp_fib_create(&fib));
	MUST(uxdp_fib_publish(fib, NULL));
	MUST(uxdp_object_open_file(argv[1], NULL, &object));
	MUST(uxdp_object_load(object, NULL));
	for (char **arg = argv + 3; *arg; arg += 4) {
		struct uxdp_map *map = uxdp_object_find_map(object, arg[1]);

		if (!map)
			return 2;
		if (strcmp(arg[0], "elem") == 0)
			set_elem(map, arg[2], arg[3]);
		else
			MUST(uxdp_map_update_prog(map, (uint32_t)atoi(arg[2]), uxdp_object_find_prog(object, arg[3])));
	}
	prog = uxdp_object_find_prog(object, argv[2]);
	if (!prog)
		return 2;
	MUST(uxdp_worker_register(NULL, 0, &worker));
	MUST(uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog)));
	/* The loopback, as the kernel has it in a test run. */
	ctx.ingress_ifindex = 1;
	while (fgets(line, sizeof(line), stdin)) {
		size_t len = bytes(line, frame + HEADROOM, FRAME - HEADROOM);

		ctx.data_hard_start = frame;
		ctx.data_meta = ctx.data = frame + HEADROOM;
		ctx.data_end = ctx.data + len;
		ctx.frame_end = frame + FRAME;
		printf("%u ", xdp_run(&ctx));
		for (uint8_t *p = ctx.data; p < ctx.data_end; p++)
			printf("%02x", *p);
		printf("\n");
		uxdp_worker_quiescent(worker);
	}
	uxdp_worker_unregister(worker);
	uxdp_object_free(object);
	uxdp_fib_free(fib);
	return 0;
}
