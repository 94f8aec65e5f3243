#include "glue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_pause.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_version.h>

/* What a driver tells about a packet and a program's write makes false. VLAN_STRIPPED stays: the tag is not in the bytes. */
#define STALE_FLAGS                                                                                                    \
	(RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID | RTE_MBUF_F_RX_FDIR_FLX |                \
	 RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_OUTER_IP_CKSUM_BAD |                \
	 RTE_MBUF_F_RX_OUTER_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO)

/* ---- EAL ---- */

static int negative_errno(int ret)
{
	if (ret >= 0)
		return ret;
	if (ret != -1)
		return ret;
	return rte_errno != 0 ? -rte_errno : -EIO;
}

int glue_eal_init(int argc, char **argv)
{
	rte_errno = 0;
	int ret = rte_eal_init(argc, argv);

	return ret < 0 ? (rte_errno != 0 ? -rte_errno : -EINVAL) : ret;
}

int glue_eal_cleanup(void) { return rte_eal_cleanup(); }
const char *glue_strerror(int err) { return rte_strerror(err); }
const char *glue_version(void) { return rte_version(); }
unsigned glue_lcore_id(void) { return rte_lcore_id(); }
unsigned glue_lcore_count(void) { return rte_lcore_count(); }

unsigned glue_lcore_next(unsigned after, int skip_main)
{
	unsigned next = rte_get_next_lcore(after, skip_main, 0);

	return next < RTE_MAX_LCORE ? next : UINT32_MAX;
}

int glue_socket_id(void) { return (int)rte_socket_id(); }
int glue_lcore_launch(int (*job)(void *), void *arg, unsigned lcore) { return rte_eal_remote_launch(job, arg, lcore); }
int glue_lcore_wait(unsigned lcore) { return rte_eal_wait_lcore(lcore); }
void glue_pause(void) { rte_pause(); }

/* ---- rings ---- */

int glue_ring_create(const char *name, unsigned size, unsigned count, int socket, struct rte_ring **out)
{
	*out = rte_ring_create_elem(name, size, count, socket, RING_F_SC_DEQ);
	return *out != NULL ? 0 : -(rte_errno != 0 ? rte_errno : ENOMEM);
}

void glue_ring_free(struct rte_ring *ring) { rte_ring_free(ring); }

int glue_ring_push(struct rte_ring *ring, const void *record, unsigned size)
{
	/* Records are read only: the function's type comes from rings of pointers. */
	return rte_ring_enqueue_elem(ring, (void *)(uintptr_t)record, size) == 0;
}

int glue_ring_pop(struct rte_ring *ring, void *record, unsigned size)
{
	return rte_ring_dequeue_elem(ring, record, size) == 0;
}

/* ---- pools ---- */

int glue_mempool_create(const char *name, unsigned n, unsigned cache, uint16_t data_room, int socket, struct rte_mempool **out)
{
	uint32_t room = (uint32_t)data_room + RTE_PKTMBUF_HEADROOM;

	if (room > UINT16_MAX)
		return -EINVAL;
	*out = rte_pktmbuf_pool_create(name, n, cache, 0, (uint16_t)room, socket);
	return *out != NULL ? 0 : -(rte_errno != 0 ? rte_errno : ENOMEM);
}

void glue_mempool_free(struct rte_mempool *pool) { rte_mempool_free(pool); }
unsigned glue_mempool_size(const struct rte_mempool *pool) { return pool->size; }
unsigned glue_mempool_available(const struct rte_mempool *pool) { return rte_mempool_avail_count(pool); }
unsigned glue_mempool_in_use(const struct rte_mempool *pool) { return rte_mempool_in_use_count(pool); }

/* ---- ports ---- */

uint16_t glue_port_count(void) { return rte_eth_dev_count_avail(); }

uint32_t glue_port_next(uint32_t from)
{
	if (from >= RTE_MAX_ETHPORTS)
		return UINT32_MAX;
	uint64_t next = rte_eth_find_next((uint16_t)from);

	return next < RTE_MAX_ETHPORTS ? (uint32_t)next : UINT32_MAX;
}

int glue_port_by_name(const char *name)
{
	uint16_t port;
	int ret = rte_eth_dev_get_port_by_name(name, &port);

	return ret != 0 ? negative_errno(ret) : port;
}

/* When packets came: where mbufs say it, and by what flag. Both are one for all ports, and told by DPDK when the first one asks. */
static uint64_t timestamp_flag;
static int timestamp_at;
/* Nanoseconds of a driver's unit; DPDK leaves the unit to drivers. */
static const struct {
	const char *driver;
	uint32_t nanos;
} timestamp_units[] = { { "net_pcap", 1000 } };
static uint32_t timestamp_unit[RTE_MAX_ETHPORTS];

/* 0: it tells none, or in a unit that is not known here. */
static uint32_t unit_of(const struct rte_eth_dev_info *info)
{
	for (size_t i = 0; i < RTE_DIM(timestamp_units); i++)
		if (info->driver_name != NULL && strcmp(info->driver_name, timestamp_units[i].driver) == 0)
			return timestamp_units[i].nanos;
	return 0;
}

static uint32_t offers(const struct rte_eth_dev_info *info)
{
	uint64_t capa = info->rx_offload_capa;

	return ((capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) && info->flow_type_rss_offloads != 0 ? GLUE_OFFERS_HASH : 0) |
	       (capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP ? GLUE_OFFERS_VLAN : 0) |
	       (capa & RTE_ETH_RX_OFFLOAD_SCATTER ? GLUE_OFFERS_SCATTER : 0) |
	       (unit_of(info) != 0 ? GLUE_OFFERS_TIMESTAMP : 0);
}

int glue_port_info(uint16_t port, struct glue_port_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	char name[RTE_ETH_NAME_MAX_LEN];
	int ret;

	memset(out, 0, sizeof(*out));
	memset(&mac, 0, sizeof(mac));
	if ((ret = rte_eth_dev_get_name_by_port(port, name)) != 0 || (ret = rte_eth_dev_info_get(port, &info)) != 0)
		return negative_errno(ret);
	/* A port without an address is an ordinary port. */
	(void)rte_eth_macaddr_get(port, &mac);
	snprintf(out->name, sizeof(out->name), "%s", name);
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name != NULL ? info.driver_name : "");
	memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	out->max_rx_queues = info.max_rx_queues;
	out->max_tx_queues = info.max_tx_queues;
	out->socket = rte_eth_dev_socket_id(port);
	out->offers = offers(&info);
	out->ifindex = info.if_index;
	/* Who cannot tell has the usual one. */
	if (rte_eth_dev_get_mtu(port, &out->mtu) != 0)
		out->mtu = RTE_ETHER_MTU;
	return 0;
}

int glue_port_configure(uint16_t port, struct rte_mempool *pool, uint16_t rx_queues, uint32_t use, uint16_t *rxd, uint16_t *txd)
{
	struct rte_eth_conf conf;
	struct rte_eth_dev_info info;
	int socket = rte_eth_dev_socket_id(port);
	unsigned node = socket >= 0 ? (unsigned)socket : (unsigned)SOCKET_ID_ANY;
	int ret;

	memset(&conf, 0, sizeof(conf));
	if ((ret = rte_eth_dev_info_get(port, &info)) != 0)
		return negative_errno(ret);
	use &= offers(&info);
	if (rx_queues > 1 || (use & GLUE_OFFERS_HASH))
		conf.rx_adv_conf.rss_conf.rss_hf =
			info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	if (conf.rx_adv_conf.rss_conf.rss_hf != 0)
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	if (use & GLUE_OFFERS_HASH)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
	if (use & GLUE_OFFERS_VLAN)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
	if (use & GLUE_OFFERS_SCATTER)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	timestamp_unit[port] = 0;
	if (use & GLUE_OFFERS_TIMESTAMP) {
		if (rte_mbuf_dyn_rx_timestamp_register(&timestamp_at, &timestamp_flag) != 0)
			return -rte_errno;
		conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TIMESTAMP;
		timestamp_unit[port] = unit_of(&info);
	}
	if ((use & GLUE_OFFERS_SCATTER) && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((ret = rte_eth_dev_configure(port, rx_queues, 1, &conf)) != 0 ||
	    (ret = rte_eth_dev_adjust_nb_rx_tx_desc(port, rxd, txd)) != 0 ||
	    (ret = rte_eth_tx_queue_setup(port, 0, *txd, node, NULL)) != 0)
		return negative_errno(ret);
	for (uint16_t queue = 0; queue < rx_queues; queue++)
		if ((ret = rte_eth_rx_queue_setup(port, queue, *rxd, node, NULL, pool)) != 0)
			return negative_errno(ret);
	return 0;
}

int glue_port_start(uint16_t port) { return negative_errno(rte_eth_dev_start(port)); }
int glue_port_stop(uint16_t port) { return negative_errno(rte_eth_dev_stop(port)); }
int glue_port_close(uint16_t port) { return negative_errno(rte_eth_dev_close(port)); }

int glue_port_promiscuous(uint16_t port, int on)
{
	return negative_errno(on ? rte_eth_promiscuous_enable(port) : rte_eth_promiscuous_disable(port));
}

int glue_port_stats(uint16_t port, struct glue_port_stats *out)
{
	struct rte_eth_stats stats;
	int ret;

	memset(&stats, 0, sizeof(stats));
	memset(out, 0, sizeof(*out));
	if ((ret = rte_eth_stats_get(port, &stats)) != 0)
		return negative_errno(ret);
	out->rx_packets = stats.ipackets;
	out->tx_packets = stats.opackets;
	out->rx_bytes = stats.ibytes;
	out->tx_bytes = stats.obytes;
	out->rx_missed = stats.imissed;
	out->rx_errors = stats.ierrors;
	out->tx_errors = stats.oerrors;
	out->rx_no_mbuf = stats.rx_nombuf;
	return 0;
}

/* ---- bursts ---- */

uint16_t glue_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return rte_eth_rx_burst(port, queue, mbufs, n);
}

uint16_t glue_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return rte_eth_tx_burst(port, queue, mbufs, n);
}

int glue_tx_done_cleanup(uint16_t port, uint16_t queue) { return negative_errno(rte_eth_tx_done_cleanup(port, queue, 0)); }

void glue_free_bulk(struct rte_mbuf **mbufs, unsigned n) { rte_pktmbuf_free_bulk(mbufs, n); }

struct rte_mbuf *glue_copy(struct rte_mbuf *m, struct rte_mempool *pool, uint16_t metadata)
{
	if (metadata != 0 && rte_pktmbuf_prepend(m, metadata) == NULL)
		return NULL;
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

	if (metadata != 0) {
		(void)rte_pktmbuf_adj(m, metadata);
		if (copy != NULL)
			(void)rte_pktmbuf_adj(copy, metadata);
	}
	return copy;
}

int glue_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned n)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, n);
}

/* Of one segment of a chain. */
static unsigned segment_refusal(const struct rte_mbuf *m)
{
	if (rte_mbuf_refcnt_read(m) != 1)
		return GLUE_SHARED;
	if (m->ol_flags & RTE_MBUF_F_INDIRECT)
		return GLUE_INDIRECT;
	if ((m->ol_flags & RTE_MBUF_F_EXTERNAL) && rte_mbuf_ext_refcnt_read(m->shinfo) != 1)
		return GLUE_EXTERNAL;
	return GLUE_REASONS;
}

/* GLUE_REASONS: every segment is ours alone, and those behind the first stand in frags. */
static unsigned read_chain(struct rte_mbuf *m, struct glue_frags *frags)
{
	if (m->nb_segs > GLUE_MAX_FRAGS + 1)
		return GLUE_CHAINED;
	frags->nr = frags->nr_released = 0;
	for (struct rte_mbuf *seg = m; seg != NULL; seg = seg->next) {
		unsigned reason = segment_refusal(seg);

		if (reason != GLUE_REASONS)
			return reason;
		if (seg == m)
			continue;
		if (frags->nr == GLUE_MAX_FRAGS)
			return GLUE_CHAINED;
		struct glue_frag *f = &frags->frags[frags->nr++];

		f->data = rte_pktmbuf_mtod(seg, uint8_t *);
		f->len = seg->data_len;
		f->room = (uint32_t)seg->buf_len - seg->data_off;
		f->cookie = seg;
	}
	return GLUE_REASONS;
}

/* Takes over what became of the segments behind the first; false, and nothing done, where one is not inside its buffer. */
static int write_chain(struct rte_mbuf *m, const struct glue_frags *frags)
{
	struct rte_mbuf *last = m;
	uint64_t all = (uint64_t)frags->nr + frags->nr_released;

	if (all > GLUE_MAX_FRAGS)
		return 0;
	for (uint32_t i = 0; i < frags->nr; i++) {
		const struct glue_frag *f = &frags->frags[i];
		const struct rte_mbuf *seg = f->cookie;
		uint64_t off = (uint64_t)((uintptr_t)f->data - (uintptr_t)seg->buf_addr);

		if (off > seg->buf_len || f->len > seg->buf_len - off)
			return 0;
	}
	for (uint32_t i = 0; i < frags->nr; i++) {
		const struct glue_frag *f = &frags->frags[i];
		struct rte_mbuf *seg = f->cookie;

		seg->data_off = (uint16_t)((uintptr_t)f->data - (uintptr_t)seg->buf_addr);
		seg->data_len = (uint16_t)f->len;
		m->pkt_len += f->len;
		last->next = seg;
		last = seg;
	}
	last->next = NULL;
	m->nb_segs = (uint16_t)(frags->nr + 1);
	for (uint32_t i = frags->nr; i < all; i++) {
		struct rte_mbuf *seg = frags->frags[i].cookie;

		seg->next = NULL;
		seg->nb_segs = 1;
		rte_pktmbuf_free_seg(seg);
	}
	return 1;
}

/* GLUE_REASONS: none, the program may have it. All that is read lies in the mbuf's first cache line, which the driver just wrote. */
static inline unsigned refusal(const struct rte_mbuf *m)
{
	if (likely(m->nb_segs == 1 && rte_mbuf_refcnt_read(m) == 1 &&
		   (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) == 0))
		return GLUE_REASONS;
	if (m->nb_segs != 1)
		return GLUE_CHAINED;
	if (rte_mbuf_refcnt_read(m) != 1)
		return GLUE_SHARED;
	if (m->ol_flags & RTE_MBUF_F_INDIRECT)
		return GLUE_INDIRECT;
	return rte_mbuf_ext_refcnt_read(m->shinfo) == 1 ? GLUE_REASONS : GLUE_EXTERNAL;
}

/* Not zero: flags or fields that a changed packet makes false. */
static inline uint64_t vouches(const struct rte_mbuf *m) { return (m->ol_flags & STALE_FLAGS) | m->packet_type; }

static inline void read_meta(const struct rte_mbuf *m, struct glue_rx_meta *meta)
{
	uint64_t flags = m->ol_flags & (RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_VLAN_STRIPPED | timestamp_flag);

	meta->valid = 0;
	if (likely(flags == 0))
		return;
	if (flags & RTE_MBUF_F_RX_RSS_HASH) {
		meta->valid |= GLUE_META_HASH;
		meta->hash = m->hash.rss;
	}
	if (flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		meta->valid |= GLUE_META_VLAN;
		meta->vlan_tci = m->vlan_tci;
	}
	if ((flags & timestamp_flag) && m->port < RTE_MAX_ETHPORTS && timestamp_unit[m->port] != 0) {
		meta->valid |= GLUE_META_TIMESTAMP;
		meta->timestamp = *RTE_MBUF_DYNFIELD(m, timestamp_at, const rte_mbuf_timestamp_t *) * timestamp_unit[m->port];
	}
}

/* The loop of glue_frames_load, compiled with and without metadata and chains. */
static __rte_always_inline uint16_t load(struct rte_mbuf **mbufs, uint16_t n, uint8_t *at, size_t stride,
					 struct glue_rx_meta *meta, struct glue_frags *frags, size_t frags_at,
					 uint64_t *reasons, int *vouched)
{
	uint64_t any = 0;
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = mbufs[i];
		struct glue_frame *frame = (struct glue_frame *)at;
		unsigned reason = refusal(m);

		if (frags != NULL) {
			struct glue_frags *chain = m->nb_segs > 1 ? &frags[kept] : NULL;

			if (chain != NULL)
				reason = read_chain(m, chain);
			memcpy(at + frags_at, &chain, sizeof(chain));
		}
		if (unlikely(reason != GLUE_REASONS)) {
			reasons[reason]++;
			continue;
		}
		uint8_t *start = m->buf_addr;
		uint8_t *data = start + m->data_off;

		frame->data_hard_start = start;
		frame->data_meta = data;
		frame->data = data;
		frame->data_end = data + m->data_len;
		frame->frame_end = start + m->buf_len;
		frame->cookie = m;
		any |= vouches(m);
		if (meta != NULL)
			read_meta(m, &meta[kept]);
		at += stride;
		kept++;
	}
	*vouched = any != 0;
	return kept;
}

uint16_t glue_frames_load(struct rte_mbuf **mbufs, uint16_t n, void *frames, size_t stride, struct glue_rx_meta *meta,
			  struct glue_frags *frags, size_t frags_at, uint64_t *reasons, int *vouched)
{
	uint16_t kept = frags != NULL  ? load(mbufs, n, frames, stride, meta, frags, frags_at, reasons, vouched)
			: meta == NULL ? load(mbufs, n, frames, stride, NULL, NULL, 0, reasons, vouched)
				       : load(mbufs, n, frames, stride, meta, NULL, 0, reasons, vouched);

	if (likely(kept == n))
		return n;

	/* Stable partition, in place: the kept ones are known from their cookies; the others go behind them. */
	struct rte_mbuf *refused[64];
	unsigned others = 0, next = 0;

	for (uint16_t i = 0; i < n; i++) {
		const struct glue_frame *frame = (const struct glue_frame *)((const uint8_t *)frames + next * stride);

		if (next < kept && frame->cookie == mbufs[i])
			mbufs[next++] = mbufs[i];
		else
			refused[others++] = mbufs[i];
	}
	memcpy(&mbufs[kept], refused, others * sizeof(refused[0]));
	return kept;
}

uint64_t glue_frames_store(struct rte_mbuf **mbufs, uint16_t n, const void *frames, size_t stride, size_t frags_at)
{
	uint64_t bad = 0;
	const uint8_t *at = frames;

	for (uint16_t i = 0; i < n; i++, at += stride) {
		struct rte_mbuf *m = mbufs[i];
		const struct glue_frame *frame = (const struct glue_frame *)at;
		/* A pointer below the buffer wraps to a huge offset, so two comparisons check all three bounds. */
		uint64_t off = (uint64_t)((uintptr_t)frame->data - (uintptr_t)m->buf_addr);
		uint64_t len = (uint64_t)((uintptr_t)frame->data_end - (uintptr_t)frame->data);

		const struct glue_frags *chain = NULL;

		if (frags_at != 0)
			memcpy(&chain, at + frags_at, sizeof(chain));
		if (unlikely(chain != NULL)) {
			/* The first buffer is looked at before anything is taken over. */
			if (off > m->buf_len || len > m->buf_len - off) {
				bad |= UINT64_C(1) << i;
				continue;
			}
			uint32_t before = m->pkt_len;

			m->pkt_len = (uint32_t)len;
			if (!write_chain(m, chain)) {
				m->pkt_len = before;
				bad |= UINT64_C(1) << i;
				continue;
			}
			m->data_off = (uint16_t)off;
			m->data_len = (uint16_t)len;
		} else if (unlikely(off != m->data_off || len != m->data_len)) {
			if (unlikely(off > m->buf_len || len > m->buf_len - off)) {
				bad |= UINT64_C(1) << i;
				continue;
			}
			m->data_off = (uint16_t)off;
			m->data_len = (uint16_t)len;
			m->pkt_len = (uint32_t)len;
		}
		if (unlikely(vouches(m) != 0)) {
			m->ol_flags &= ~STALE_FLAGS;
			m->packet_type = 0;
		}
	}
	return bad;
}
