/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* DPDK's l2fwd loop with an XDP program in it: the least that a DPDK application has to add.
 *
 *   dpdk_l2fwd [EAL arguments] -- FILE [IDLE_MS]
 *   dpdk_l2fwd --no-huge -m 256 --no-pci --no-shconf --vdev=net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap -- prog.o 200
 *
 * One lcore, every port, one queue each. XDP_TX goes back out of its port, XDP_PASS out of the next one, XDP_REDIRECT to an interface or an entry of a device
 * map out of port ifindex - 1, after the entry's own program, or as copies out of several; everything else is freed, so are redirects to CPUs and sockets. Ends after IDLE_MS without a packet, or at Ctrl-C. The bundled l2fwd (dpdk-app) does the same
 * with counters, map files and live reload.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <uxdp.h>
#include <uxdp_dpdk.h>

#define BURST 32
#define MBUFS 8191

static volatile sig_atomic_t stopped;

static struct {
	uint64_t rx, tx, freed;
	struct uxdp_mbuf_counts refused;
} count;

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

static void die(const char *what, int status)
{
	char why[512];

	uxdp_last_error(why, sizeof(why));
	rte_exit(EXIT_FAILURE, "%s: %s: %s\n", what, uxdp_strerror(status), why);
}

static void open_port(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	uint16_t rxd = 1024, txd = 1024;
	int socket = rte_eth_dev_socket_id(port);
	unsigned node = socket >= 0 ? (unsigned)socket : (unsigned)SOCKET_ID_ANY;

	if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 || rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxd, &txd) != 0 ||
	    rte_eth_rx_queue_setup(port, 0, rxd, node, NULL, pool) != 0 || rte_eth_tx_queue_setup(port, 0, txd, node, NULL) != 0 ||
	    rte_eth_dev_start(port) != 0)
		rte_exit(EXIT_FAILURE, "port %u does not start\n", port);
}

static void send_or_free(uint16_t port, struct rte_mbuf *m)
{
	if (rte_eth_dev_is_valid_port(port) && rte_eth_tx_burst(port, 0, &m, 1) == 1) {
		count.tx++;
		return;
	}
	rte_pktmbuf_free(m);
	count.freed++;
}

/* A copy for every entry of the map, each through the program of its entry. */
static void send_to_all(struct uxdp_ctx *ctx, struct rte_mbuf *m, uint16_t port)
{
	const struct uxdp_redirect all = ctx->redirect;
	struct uxdp_redirect target;
	uint32_t cursor = 0;

	while (uxdp_redirect_next(&all, (uint32_t)port + 1, &cursor, &target)) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);

		if (copy == NULL)
			break;
		if (uxdp_ctx_from_mbuf(ctx, copy, &count.refused) == 0) {
			ctx->redirect = target;
			if (uxdp_run_entry(ctx) == UXDP_PASS &&
			    uxdp_ctx_to_mbuf(ctx, copy, UXDP_MBUF_BYTES_WRITTEN, &count.refused) == 0) {
				send_or_free(uxdp_redirect_port(&target), copy);
				continue;
			}
		}
		rte_pktmbuf_free(copy);
	}
	rte_pktmbuf_free(m);
	count.freed++;
}

/* One packet: between these lines is all that uxdp adds to the loop. */
static void forward(struct uxdp_ctx *ctx, struct rte_mbuf *m, uint16_t port, uint16_t ports)
{
	uint32_t action = UXDP_DROP;

	if (uxdp_ctx_from_mbuf(ctx, m, &count.refused) == 0) {
		action = xdp_run(ctx);
		/* The program of a device map's entry says whether the packet may leave there. */
		if (action == UXDP_REDIRECT && ctx->redirect.kind == UXDP_REDIRECT_DEVMAP && uxdp_run_entry(ctx) != UXDP_PASS)
			action = UXDP_DROP;
		if (uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_WRITTEN, &count.refused) != 0)
			action = UXDP_ABORTED;
	}
	switch (action) {
	case UXDP_TX:
		send_or_free(port, m);
		break;
	case UXDP_PASS:
		send_or_free((uint16_t)((port + 1) % ports), m);
		break;
	case UXDP_REDIRECT:
		if (ctx->redirect.flags & UXDP_REDIRECT_BROADCAST)
			send_to_all(ctx, m, port);
		else
			send_or_free(uxdp_redirect_port(&ctx->redirect), m);
		break;
	default:
		rte_pktmbuf_free(m);
		count.freed++;
	}
}

static void loop(struct uxdp_ctx *ctx, struct uxdp_worker *worker, uint16_t ports, uint64_t idle_ms)
{
	const uint64_t limit = idle_ms * rte_get_tsc_hz() / 1000;
	uint64_t last = rte_rdtsc();
	struct rte_mbuf *mbufs[BURST];

	while (!stopped) {
		for (uint16_t port = 0; port < ports; port++) {
			uint16_t n = rte_eth_rx_burst(port, 0, mbufs, BURST);

			for (uint16_t i = 0; i < n; i++)
				forward(ctx, mbufs[i], port, ports);
			count.rx += n;
			if (n > 0)
				last = rte_rdtsc();
		}
		uxdp_worker_quiescent(worker);
		if (limit != 0 && rte_rdtsc() - last > limit)
			break;
	}
}

int main(int argc, char **argv)
{
	struct uxdp_object *object;
	struct uxdp_worker *worker;
	struct uxdp_prog *prog;
	struct uxdp_ctx ctx;
	struct rte_mempool *pool;
	uint16_t ports;
	int used, status;

	if ((used = rte_eal_init(argc, argv)) < 0)
		return 2;
	argc -= used;
	argv += used;
	ports = rte_eth_dev_count_avail();
	if (argc < 2 || argc > 3 || ports == 0)
		rte_exit(2, "usage: dpdk_l2fwd [EAL arguments, at least one port] -- FILE [IDLE_MS]\n");

	if ((status = uxdp_object_open_file(argv[1], NULL, &object)) != 0 || (status = uxdp_object_load(object, NULL)) != 0)
		die(argv[1], status);
	if ((prog = uxdp_object_next_prog(object, NULL)) == NULL)
		rte_exit(2, "%s has no program\n", argv[1]);
	/* A slot is a dense number of the worker, not the lcore's id. */
	if ((status = uxdp_worker_register(NULL, 0, &worker)) != 0 || (status = uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog))) != 0)
		die("worker", status);

	pool = rte_pktmbuf_pool_create("l2fwd", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
	if (pool == NULL)
		rte_exit(EXIT_FAILURE, "no memory for packet buffers\n");
	for (uint16_t port = 0; port < ports; port++)
		open_port(port, pool);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);

	loop(&ctx, worker, ports, argc == 3 ? strtoull(argv[2], NULL, 10) : 0);

	for (uint16_t port = 0; port < ports; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	printf("rx %" PRIu64 ", tx %" PRIu64 ", freed %" PRIu64 ", chained %" PRIu64 ", buffers missing %u\n", count.rx, count.tx, count.freed,
	       count.refused.refused[UXDP_MBUF_CHAINED], rte_mempool_in_use_count(pool));
	uxdp_worker_unregister(worker);
	uxdp_object_free(object);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return 0;
}
