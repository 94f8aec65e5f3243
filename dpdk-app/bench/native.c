/* xdp_tx, compiled natively in a file of its own, so that the loop calls it and does not inline it. */
#include "native.h"

#include <string.h>

uint32_t native_xdp_tx(struct native_ctx *ctx)
{
	uint8_t mac[6];

	if (ctx->data + 14 > ctx->data_end)
		return NATIVE_DROP;
	memcpy(mac, ctx->data, 6);
	memcpy(ctx->data, ctx->data + 6, 6);
	memcpy(ctx->data + 6, mac, 6);
	return NATIVE_TX;
}
