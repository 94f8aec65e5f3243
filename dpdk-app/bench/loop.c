/* The yardstick: the plain DPDK forwarding loop with a natively compiled XDP program in it, called out of line.
 *
 * Takes what l2fwd takes as far as the comparison needs it: loop [EAL options] -- COUNT. Prints packets, seconds and nanoseconds a packet, of the
 * whole run and of its fastest stretch of 256 rounds over all ports (as long as l2fwd's).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "native.h"

#define BURST 32
#define RING 1024
#define ROUNDS_PER_LOOK 256

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void open_port(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	uint16_t rxd = RING, txd = RING;
	unsigned socket = (unsigned)rte_eth_dev_socket_id(port);

	if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 || rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxd, &txd) != 0 ||
	    rte_eth_rx_queue_setup(port, 0, rxd, socket, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(port, 0, txd, socket, NULL) != 0 || rte_eth_dev_start(port) != 0)
		rte_exit(3, "port %u does not start\n", port);
}

static uint64_t forward(uint16_t port)
{
	struct rte_mbuf *mbufs[BURST], *tx[BURST], *discard[BURST];
	uint16_t n = rte_eth_rx_burst(port, 0, mbufs, BURST), out = 0, gone = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];
		uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
		struct native_ctx ctx = {data, data + m->data_len};

		if (native_xdp_tx(&ctx) == NATIVE_TX)
			tx[out++] = m;
		else
			discard[gone++] = m;
	}
	if (out > 0) {
		uint16_t sent = rte_eth_tx_burst(port, 0, tx, out);

		if (sent < out)
			rte_pktmbuf_free_bulk(&tx[sent], out - sent);
	}
	if (gone > 0)
		rte_pktmbuf_free_bulk(discard, gone);
	return n;
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);

	if (used < 0 || argc - used != 2)
		rte_exit(2, "usage: loop [EAL options] -- COUNT\n");
	uint64_t count = strtoull(argv[used + 1], NULL, 10), seen = 0;
	uint16_t ports = rte_eth_dev_count_avail();
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create("loop", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());

	if (pool == NULL || ports == 0)
		rte_exit(3, "no pool or no port\n");
	for (uint16_t port = 0; port < ports; port++)
		open_port(port, pool);

	double begin = now(), last = begin, fastest = 1;
	uint64_t seen_then = 0;

	for (unsigned round = 1; seen < count; round++) {
		for (uint16_t port = 0; port < ports; port++)
			seen += forward(port);
		if (round % ROUNDS_PER_LOOK == 0) {
			double look = now(), each = (look - last) / (double)(seen - seen_then);

			fastest = each < fastest ? each : fastest;
			last = look;
			seen_then = seen;
		}
	}
	double seconds = now() - begin;

	printf("{\"packets\": %llu, \"seconds\": %.6f, \"ns_per_packet\": %.3f, \"fastest\": %.3f}\n",
	       (unsigned long long)seen, seconds, seconds * 1e9 / (double)seen, fastest * 1e9);
	for (uint16_t port = 0; port < ports; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	rte_eal_cleanup();
	return 0;
}
