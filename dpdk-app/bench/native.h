/* The XDP program as a C function: the two pointers that it needs, in 64 bits. */
#ifndef NATIVE_H
#define NATIVE_H

#include <stdint.h>

struct native_ctx {
	uint8_t *data, *data_end;
};
enum { NATIVE_DROP = 1, NATIVE_TX = 3 };

uint32_t native_xdp_tx(struct native_ctx *ctx);

#endif
