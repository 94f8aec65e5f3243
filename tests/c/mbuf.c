/* The mbuf glue against real mbufs: what is refused and counted, what is written back. mbuf [EAL arguments] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include <uxdp_dpdk.h>

#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                               \
		}                                                              \
	} while (0)

static struct rte_mempool *pool;

static struct rte_mbuf *make(unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	CHECK(m != NULL && rte_pktmbuf_append(m, len) != NULL);
	m->port = 4;
	return m;
}

static void external_free(void *at, void *arg)
{
	(void)at;
	(void)arg;
}

static void refusals(struct uxdp_ctx *ctx)
{
	struct uxdp_mbuf_counts counts = {{0}};
	struct rte_mbuf *chained = make(60), *shared = make(60), *direct = make(60), *indirect = rte_pktmbuf_clone(direct, pool);
	struct rte_mbuf *external = rte_pktmbuf_alloc(pool), *plain = make(60), *burst[5];
	static struct rte_mbuf_ext_shared_info info;
	static char buffer[2048];
	struct uxdp_pkt pkts[5];

	CHECK(rte_pktmbuf_chain(chained, make(20)) == 0);
	rte_mbuf_refcnt_update(shared, 1);
	info.free_cb = external_free;
	rte_mbuf_ext_refcnt_set(&info, 1);
	rte_pktmbuf_attach_extbuf(external, buffer, RTE_BAD_IOVA, sizeof(buffer), &info);

	ctx->data = (uint8_t *)buffer;
	CHECK(uxdp_ctx_from_mbuf(ctx, chained, &counts) == -EOPNOTSUPP && counts.refused[UXDP_MBUF_CHAINED] == 1);
	CHECK(uxdp_ctx_from_mbuf(ctx, shared, &counts) == -EOPNOTSUPP && counts.refused[UXDP_MBUF_SHARED] == 1);
	/* The original of a clone is shared, the clone itself is indirect. */
	CHECK(uxdp_ctx_from_mbuf(ctx, direct, &counts) == -EOPNOTSUPP && counts.refused[UXDP_MBUF_SHARED] == 2);
	CHECK(uxdp_ctx_from_mbuf(ctx, indirect, &counts) == -EOPNOTSUPP && counts.refused[UXDP_MBUF_INDIRECT] == 1);
	CHECK(uxdp_ctx_from_mbuf(ctx, chained, NULL) == -EOPNOTSUPP && ctx->data == (uint8_t *)buffer);
	/* An external buffer with one user is ours, with two it is not. */
	CHECK(uxdp_ctx_from_mbuf(ctx, external, &counts) == 0 && ctx->data_hard_start == (uint8_t *)buffer);
	rte_mbuf_ext_refcnt_update(&info, 1);
	CHECK(uxdp_ctx_from_mbuf(ctx, external, &counts) == -EOPNOTSUPP && counts.refused[UXDP_MBUF_READ_ONLY] == 1);
	rte_mbuf_ext_refcnt_update(&info, -1);

	/* In a burst the refused ones go behind the others, order kept. */
	burst[0] = chained, burst[1] = plain, burst[2] = shared, burst[3] = indirect, burst[4] = external;
	CHECK(uxdp_pkts_from_mbufs(ctx, pkts, burst, 5, &counts) == 2 && pkts[0].cookie == plain && pkts[1].cookie == external);
	CHECK(burst[0] == plain && burst[1] == external && burst[2] == chained && burst[3] == shared && burst[4] == indirect);
	CHECK(ctx->ingress_ifindex == 5 && uxdp_pkts_from_mbufs(ctx, pkts, burst, 0, &counts) == 0);

	rte_mbuf_refcnt_update(shared, -1);
	rte_pktmbuf_free(indirect);
	rte_pktmbuf_free(chained);
	rte_pktmbuf_free(shared);
	rte_pktmbuf_free(direct);
	rte_pktmbuf_free(external);
	rte_pktmbuf_free(plain);
}

static void round_trip(struct uxdp_ctx *ctx)
{
	const uint64_t stale = RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	const uint64_t vlan = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	struct uxdp_mbuf_counts counts = {{0}};
	struct rte_mbuf *m = make(60);
	uint16_t off = m->data_off;
	struct uxdp_pkt pkt;

	m->ol_flags = stale | vlan;
	m->packet_type = RTE_PTYPE_L2_ETHER;
	m->hash.rss = 0x1234;
	m->vlan_tci = 42;
	CHECK(uxdp_ctx_from_mbuf(ctx, m, &counts) == 0 && ctx->ingress_ifindex == 5);
	CHECK(ctx->data_hard_start == m->buf_addr && ctx->data == rte_pktmbuf_mtod(m, uint8_t *) && ctx->data_meta == ctx->data);
	CHECK(ctx->data_end == ctx->data + 60 && ctx->frame_end == ctx->data_hard_start + m->buf_len);
	CHECK(ctx->rx.valid == (UXDP_RX_HASH | UXDP_RX_VLAN) && ctx->rx.hash == 0x1234 && ctx->rx.vlan_tci == 42);

	/* Untouched, and the program does not write: all stays. It may have written: what the driver said of the bytes goes. */
	CHECK(uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_KEPT, &counts) == 0 && m->ol_flags == (stale | vlan) && m->packet_type != 0);
	CHECK(uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_WRITTEN, &counts) == 0 && m->ol_flags == vlan && m->packet_type == 0);

	/* Grown at both ends: the flags are false whatever the program wrote. */
	m->ol_flags |= stale;
	ctx->data -= 14;
	ctx->data_meta = ctx->data - 8;
	ctx->data_end += 10;
	CHECK(uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_KEPT, &counts) == 0 && m->ol_flags == vlan);
	CHECK(m->data_off == off - 14 && m->data_len == 84 && m->pkt_len == 84);

	/* Pointers outside the buffer or out of order: the mbuf stays as it is. */
	ctx->data = ctx->data_hard_start - 1;
	CHECK(uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_WRITTEN, &counts) == -EINVAL && counts.refused[UXDP_MBUF_BAD_FRAME] == 1);
	ctx->data = ctx->data_meta = ctx->data_hard_start + 100;
	ctx->data_end = ctx->data - 1;
	CHECK(uxdp_ctx_to_mbuf(ctx, m, UXDP_MBUF_BYTES_WRITTEN, NULL) == -EINVAL && m->data_len == 84);

	m->port = RTE_MBUF_PORT_INVALID;
	CHECK(uxdp_pkts_from_mbufs(ctx, &pkt, &m, 1, &counts) == 1 && ctx->ingress_ifindex == 0);
	pkt.data_end = pkt.frame_end + 1;
	pkt.action = UXDP_TX;
	CHECK(uxdp_pkts_to_mbufs(&pkt, 1, UXDP_MBUF_BYTES_WRITTEN, &counts) == 1 && pkt.action == UXDP_ABORTED);
	rte_pktmbuf_free(m);
}

/* What a program of xdp.frags may do to three segments, done by hand. */
static void chains(struct uxdp_ctx *ctx)
{
	struct uxdp_mbuf_counts counts = {{0}};
	struct rte_mbuf *m = make(60), *second = make(100), *third = make(200), *shared = make(40);
	unsigned used = rte_mempool_in_use_count(pool);
	struct uxdp_frags frags;

	CHECK(rte_pktmbuf_chain(m, second) == 0 && rte_pktmbuf_chain(m, third) == 0);
	m->ol_flags = RTE_MBUF_F_RX_RSS_HASH;
	CHECK(uxdp_ctx_from_mbuf_chain(ctx, &frags, m, &counts) == 0 && ctx->frags == &frags && frags.nr == 2 && frags.nr_released == 0);
	CHECK(frags.frags[0].cookie == second && frags.frags[0].len == 100 && frags.frags[1].data == rte_pktmbuf_mtod(third, uint8_t *));
	CHECK(frags.frags[1].room == (uint32_t)third->buf_len - third->data_off);
	/* Untouched. */
	CHECK(uxdp_ctx_to_mbuf_chain(ctx, m, UXDP_MBUF_BYTES_KEPT, &counts) == 0 && ctx->frags == NULL && m->nb_segs == 3 && m->pkt_len == 360);
	CHECK(m->next == second && second->next == third && third->next == NULL && m->ol_flags == 0);
	/* The first fragment is shorter at its start, the second is dropped. */
	CHECK(uxdp_ctx_from_mbuf_chain(ctx, &frags, m, &counts) == 0);
	frags.frags[0].data += 10, frags.frags[0].len -= 10;
	frags.nr = 1, frags.nr_released = 1;
	ctx->data_end += 10;
	CHECK(uxdp_ctx_to_mbuf_chain(ctx, m, UXDP_MBUF_BYTES_WRITTEN, &counts) == 0 && m->nb_segs == 2 && m->pkt_len == 160);
	CHECK(m->data_len == 70 && second->data_len == 90 && second->next == NULL && rte_mempool_in_use_count(pool) == used - 1);
	/* A fragment outside of its buffer changes nothing. */
	CHECK(uxdp_ctx_from_mbuf_chain(ctx, &frags, m, &counts) == 0);
	frags.frags[0].len = 60000;
	CHECK(uxdp_ctx_to_mbuf_chain(ctx, m, UXDP_MBUF_BYTES_WRITTEN, &counts) == -EINVAL && counts.refused[UXDP_MBUF_BAD_FRAME] == 1 && m->pkt_len == 160);
	/* A segment that somebody else reads refuses the packet. */
	rte_mbuf_refcnt_update(shared, 1);
	CHECK(rte_pktmbuf_chain(m, shared) == 0 && uxdp_ctx_from_mbuf_chain(ctx, &frags, m, &counts) == -EOPNOTSUPP);
	CHECK(counts.refused[UXDP_MBUF_SHARED] == 1);
	rte_mbuf_refcnt_update(shared, -1);
	rte_pktmbuf_free(m);
	m = make(60);
	CHECK(uxdp_ctx_from_mbuf_chain(ctx, &frags, m, &counts) == 0 && ctx->frags == NULL);
	CHECK(uxdp_ctx_to_mbuf_chain(ctx, m, UXDP_MBUF_BYTES_KEPT, &counts) == 0 && m->nb_segs == 1 && m->pkt_len == 60);
	rte_pktmbuf_free(m);
}

int main(int argc, char **argv)
{
	struct uxdp_ctx ctx;

	memset(&ctx, 0, sizeof(ctx));
	CHECK(rte_eal_init(argc, argv) >= 0);
	pool = rte_pktmbuf_pool_create("mbufs", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	CHECK(pool != NULL);
	refusals(&ctx);
	round_trip(&ctx);
	chains(&ctx);
	CHECK(rte_mempool_in_use_count(pool) == 0);
	puts("ok");
	rte_eal_cleanup();
	return 0;
}
