/* A program that uses libuxdp.a and a Rust archive with std. */
#include <stdio.h>
#include <string.h>

#include <uxdp.h>

int other_catches(void);

int main(int argc, char **argv)
{
	struct uxdp_object *object;
	unsigned char packet[64] = {0};
	UXDP_STRUCT(uxdp_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	if (argc != 2 || !other_catches())
		return 1;
	puts("caught a panic");
	if (uxdp_object_open_file(argv[1], NULL, &object) != 0 || uxdp_object_load(object, NULL) != 0 ||
	    uxdp_prog_test_run(uxdp_object_next_prog(object, NULL), &opts) != 0)
		return 2;
	puts(opts.retval == UXDP_TX ? "XDP_TX" : "not XDP_TX");
	uxdp_object_free(object);
	return !other_catches();
}
