// A C++ program with exceptions around the C API.
#include <cstdio>
#include <stdexcept>

#include <uxdp.h>

static uxdp_object *open(const char *path)
{
	uxdp_object *object = nullptr;
	UXDP_OPEN_OPTS(opts, .name = "thrown");

	if (int status = uxdp_object_open_file(path, &opts, &object))
		throw std::runtime_error(uxdp_strerror(status));
	return object;
}

int main(int argc, char **argv)
{
	unsigned char packet[64] = {};
	UXDP_STRUCT(uxdp_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet));

	if (argc != 2)
		return 1;
	try {
		open("/no/such/file.o");
	} catch (const std::exception &e) {
		std::printf("caught: %s\n", e.what());
	}
	uxdp_object *object = open(argv[1]);
	if (uxdp_object_load(object, nullptr) != 0 || uxdp_prog_test_run(uxdp_object_next_prog(object, nullptr), &opts) != 0)
		return 2;
	std::puts(opts.retval == UXDP_TX ? "XDP_TX" : "not XDP_TX");
	uxdp_object_free(object);
	return 0;
}
