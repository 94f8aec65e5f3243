/* Mbufs of the awkward kinds, for the tests of this package. Nothing else references it, so it is in no binary. */
#include "glue.h"

#include <rte_mbuf.h>

struct rte_mbuf *fixture_alloc(struct rte_mempool *pool, uint16_t len);
struct rte_mbuf *fixture_indirect(struct rte_mbuf *m, struct rte_mempool *pool);
int fixture_chain(struct rte_mbuf *head, struct rte_mbuf *tail);
void fixture_add_reference(struct rte_mbuf *m, int16_t by);
void fixture_vouch(struct rte_mbuf *m, uint32_t hash);
uint64_t fixture_vouched(const struct rte_mbuf *m);
void fixture_shape(const struct rte_mbuf *m, uint32_t shape[3]);

struct rte_mbuf *fixture_alloc(struct rte_mempool *pool, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m != NULL && rte_pktmbuf_append(m, len) == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	return m;
}

struct rte_mbuf *fixture_indirect(struct rte_mbuf *m, struct rte_mempool *pool) { return rte_pktmbuf_clone(m, pool); }
int fixture_chain(struct rte_mbuf *head, struct rte_mbuf *tail) { return rte_pktmbuf_chain(head, tail); }
void fixture_add_reference(struct rte_mbuf *m, int16_t by) { rte_mbuf_refcnt_update(m, by); }

void fixture_vouch(struct rte_mbuf *m, uint32_t hash)
{
	m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	m->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4;
	m->hash.rss = hash;
}

uint64_t fixture_vouched(const struct rte_mbuf *m) { return m->ol_flags | m->packet_type; }

void fixture_shape(const struct rte_mbuf *m, uint32_t shape[3])
{
	shape[0] = m->data_off;
	shape[1] = m->data_len;
	shape[2] = m->pkt_len;
}
