/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* uxdp with DPDK: packets between struct rte_mbuf and struct uxdp_ctx or struct uxdp_pkt.
 *
 * Header-only, so that libuxdp itself never depends on a DPDK release; compiles as gnu11 and later and as C++, with DPDK 22.11 to 25.11.
 *
 * A program may write to every byte of an mbuf's buffer, so it gets only mbufs whose bytes nobody else reads, and that are whole in one
 * segment unless it takes several (uxdp_ctx_from_mbuf_chain); the others are refused, counted by reason, and left as they are. On the way back a program's work is checked before it is
 * believed: pointers that do not lie in order inside the buffer leave the mbuf as it was.
 *
 * The five pointers are the mbuf's whole buffer: data_hard_start is buf_addr, frame_end is buf_addr + buf_len. Metadata that a program
 * makes stays in the headroom right before the packet, from ctx->data_meta to ctx->data.
 */
#ifndef UXDP_DPDK_H
#define UXDP_DPDK_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include "uxdp.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Why an mbuf is not given to a program, or not changed by what a program made of it. Append-only. */
enum uxdp_mbuf_refusal {
  /** The packet has more than one segment. */
  UXDP_MBUF_CHAINED = 0,
  /** Its reference count is above one: someone else reads these bytes. */
  UXDP_MBUF_SHARED = 1,
  /** It is attached to the data of another mbuf. */
  UXDP_MBUF_INDIRECT = 2,
  /** It is attached to an external buffer that has other users. */
  UXDP_MBUF_READ_ONLY = 3,
  /** On the way back: the pointers do not lie in order inside the mbuf's buffer. */
  UXDP_MBUF_BAD_FRAME = 4,
  /** How many reasons there are. */
  UXDP_MBUF_REASONS = 5
};

/** How many mbufs were refused, by reason. The caller's own, zeroed by it; one a thread. */
struct uxdp_mbuf_counts {
  uint64_t refused[UXDP_MBUF_REASONS];
};

/** Whether the program may have written to the packet's bytes, which its pointers do not show. */
enum uxdp_mbuf_bytes {
  /** It may have; what a driver said of the bytes is no longer known. The right choice unless you know better. */
  UXDP_MBUF_BYTES_WRITTEN = 0,
  /** It never does: as long as length and place stay, what the driver said of the packet stays. */
  UXDP_MBUF_BYTES_KEPT = 1
};

/**
 * The port that a redirect leads to: its interface's number - 1, for interfaces and entries of device maps. RTE_MBUF_PORT_INVALID, which is no port, for everything else: a CPU or a
 * socket is not a port, and a packet for every entry of a map has several (uxdp_redirect_next).
 *
 * For hosts that number interfaces as uxdp_ctx_from_mbuf does. Any thread. Cannot fail; whether there is such a port is the caller's to know.
 */
static inline uint16_t uxdp_redirect_port(const struct uxdp_redirect *r)
{
  if (r->kind != UXDP_REDIRECT_IFINDEX && (r->kind != UXDP_REDIRECT_DEVMAP || (r->flags & UXDP_REDIRECT_BROADCAST) != 0))
    return RTE_MBUF_PORT_INVALID;
  return r->target != 0 && r->target <= RTE_MBUF_PORT_INVALID ? (uint16_t)(r->target - 1) : (uint16_t)RTE_MBUF_PORT_INVALID;
}

/* What a driver says of a packet and a changed packet makes false. That a VLAN tag was stripped stays true. */
#define UXDP_MBUF_STALE_FLAGS_ \
  (RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID | RTE_MBUF_F_RX_FDIR_FLX | RTE_MBUF_F_RX_IP_CKSUM_MASK | \
   RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_OUTER_IP_CKSUM_BAD | RTE_MBUF_F_RX_OUTER_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO)

/* Of one segment; UXDP_MBUF_REASONS: none. */
static inline unsigned uxdp_mbuf_segment_refusal_(const struct rte_mbuf *m)
{
  if (likely(rte_mbuf_refcnt_read(m) == 1 && (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) == 0))
    return UXDP_MBUF_REASONS;
  if (rte_mbuf_refcnt_read(m) != 1)
    return UXDP_MBUF_SHARED;
  if (m->ol_flags & RTE_MBUF_F_INDIRECT)
    return UXDP_MBUF_INDIRECT;
  return rte_mbuf_ext_refcnt_read(m->shinfo) == 1 ? UXDP_MBUF_REASONS : UXDP_MBUF_READ_ONLY;
}

/* The same of a packet. All that is read for it lies in the cache line that the driver has just written. */
static inline unsigned uxdp_mbuf_refusal_(const struct rte_mbuf *m)
{
  return likely(m->nb_segs == 1) ? uxdp_mbuf_segment_refusal_(m) : (unsigned)UXDP_MBUF_CHAINED;
}

static inline uint32_t uxdp_mbuf_ifindex_(const struct rte_mbuf *m)
{
  return m->port == RTE_MBUF_PORT_INVALID ? 0 : (uint32_t)m->port + 1;
}

static inline void uxdp_mbuf_rx_(const struct rte_mbuf *m, struct uxdp_rx_meta *rx)
{
  rx->valid = 0;
  if (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH) {
    rx->valid |= UXDP_RX_HASH;
    rx->hash = m->hash.rss;
    rx->hash_type = 0;
  }
  if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
    rx->valid |= UXDP_RX_VLAN;
    rx->vlan_proto = rte_cpu_to_be_16(0x8100);
    rx->vlan_tci = m->vlan_tci;
  }
}

/* Checks the pointers that a program left and writes them back; how both public forms end. */
static inline int uxdp_mbuf_store_(struct rte_mbuf *m, const uint8_t *data_meta, const uint8_t *data, const uint8_t *data_end,
                                   enum uxdp_mbuf_bytes bytes, struct uxdp_mbuf_counts *counts)
{
  /* A pointer below the buffer wraps to a huge offset, so that upper bounds are enough. */
  const uintptr_t meta = (uintptr_t)data_meta - (uintptr_t)m->buf_addr;
  const uintptr_t off = (uintptr_t)data - (uintptr_t)m->buf_addr;
  const uintptr_t len = (uintptr_t)data_end - (uintptr_t)data;
  const int moved = off != m->data_off || len != m->data_len;

  if (unlikely(off > m->buf_len || meta > off || len > m->buf_len - off)) {
    if (counts != NULL)
      counts->refused[UXDP_MBUF_BAD_FRAME]++;
    return -EINVAL;
  }
  if (moved) {
    m->data_off = (uint16_t)off;
    m->data_len = (uint16_t)len;
    m->pkt_len = (uint32_t)len;
  }
  if ((moved || bytes == UXDP_MBUF_BYTES_WRITTEN) && ((m->ol_flags & UXDP_MBUF_STALE_FLAGS_) | m->packet_type) != 0) {
    m->ol_flags &= ~(uint64_t)UXDP_MBUF_STALE_FLAGS_;
    m->packet_type = 0;
  }
  return 0;
}

/**
 * Sets a context to an mbuf's packet: the five pointers, what the driver said of it, and `ingress_ifindex`, which is its port + 1 (a host
 * that numbers interfaces another way sets it afterwards).
 *
 * The mbuf stays the caller's and must not be freed before the context is used for the last time. The context's thread. 0, or -EOPNOTSUPP for
 * an mbuf that no program may have: it is untouched, the context too, and the reason is counted where `counts` is not NULL.
 */
static inline int uxdp_ctx_from_mbuf(struct uxdp_ctx *ctx, struct rte_mbuf *m, struct uxdp_mbuf_counts *counts)
{
  const unsigned reason = uxdp_mbuf_refusal_(m);
  uint8_t *const start = (uint8_t *)m->buf_addr;

  if (unlikely(reason != UXDP_MBUF_REASONS)) {
    if (counts != NULL)
      counts->refused[reason]++;
    return -EOPNOTSUPP;
  }
  ctx->data_hard_start = start;
  ctx->data_meta = ctx->data = start + m->data_off;
  ctx->data_end = ctx->data + m->data_len;
  ctx->frame_end = start + m->buf_len;
  ctx->ingress_ifindex = uxdp_mbuf_ifindex_(m);
  ctx->frags = NULL;
  uxdp_mbuf_rx_(m, &ctx->rx);
  return 0;
}

/**
 * Writes what a program made of a packet back to its mbuf: data_off and the lengths; and where the packet may have changed, the flags and
 * fields by which the driver vouched for it (hash, checksums, packet type) are cleared.
 *
 * The mbuf stays the caller's. The context's thread. 0, or -EINVAL where the context's pointers are not in order inside this mbuf's buffer: it
 * is left as it was, and that is counted where `counts` is not NULL.
 */
static inline int uxdp_ctx_to_mbuf(const struct uxdp_ctx *ctx, struct rte_mbuf *m, enum uxdp_mbuf_bytes bytes,
                                   struct uxdp_mbuf_counts *counts)
{
  return uxdp_mbuf_store_(m, ctx->data_meta, ctx->data, ctx->data_end, bytes, counts);
}

/**
 * As uxdp_ctx_from_mbuf, of a packet in one or more segments: `frags` gets those behind the first, each segment in its fragment's `cookie`. For hooks of which
 * uxdp_hook_takes_frags says 1; each segment has to be the program's alone, as there.
 *
 * The mbuf and `frags` stay the caller's and are used until uxdp_ctx_to_mbuf_chain. The context's thread. 0, or -EOPNOTSUPP for a packet that no program may have, or one of
 * more segments than UXDP_MAX_FRAGS + 1, which counts as chained.
 */
static inline int uxdp_ctx_from_mbuf_chain(struct uxdp_ctx *ctx, struct uxdp_frags *frags, struct rte_mbuf *m, struct uxdp_mbuf_counts *counts)
{
  unsigned reason = m->nb_segs > UXDP_MAX_FRAGS + 1 ? (unsigned)UXDP_MBUF_CHAINED : (unsigned)UXDP_MBUF_REASONS;
  uint8_t *const start = (uint8_t *)m->buf_addr;

  for (const struct rte_mbuf *seg = m; reason == UXDP_MBUF_REASONS && seg != NULL; seg = seg->next)
    reason = uxdp_mbuf_segment_refusal_(seg);
  if (unlikely(reason != UXDP_MBUF_REASONS)) {
    if (counts != NULL)
      counts->refused[reason]++;
    return -EOPNOTSUPP;
  }
  frags->nr = frags->nr_released = 0;
  for (struct rte_mbuf *seg = m->next; seg != NULL && frags->nr < UXDP_MAX_FRAGS; seg = seg->next) {
    struct uxdp_frag *const f = &frags->frags[frags->nr++];

    f->data = rte_pktmbuf_mtod(seg, uint8_t *);
    f->len = seg->data_len;
    f->room = (uint32_t)seg->buf_len - seg->data_off;
    f->cookie = seg;
  }
  ctx->data_hard_start = start;
  ctx->data_meta = ctx->data = start + m->data_off;
  ctx->data_end = ctx->data + m->data_len;
  ctx->frame_end = start + m->buf_len;
  ctx->ingress_ifindex = uxdp_mbuf_ifindex_(m);
  ctx->frags = frags->nr != 0 ? frags : NULL;
  uxdp_mbuf_rx_(m, &ctx->rx);
  return 0;
}

/**
 * Writes what a program made of a packet back to its segments, as uxdp_ctx_to_mbuf does; segments that the program dropped are freed.
 *
 * The mbuf stays the caller's. The context's thread; its `frags` is NULL afterwards. 0, or -EINVAL where a pointer or a fragment is not inside its buffer: the packet is
 * left as it was, and that is counted where `counts` is not NULL.
 */
static inline int uxdp_ctx_to_mbuf_chain(struct uxdp_ctx *ctx, struct rte_mbuf *m, enum uxdp_mbuf_bytes bytes, struct uxdp_mbuf_counts *counts)
{
  struct uxdp_frags *const frags = ctx->frags;
  const unsigned nr = frags != NULL ? frags->nr : 0, all = frags != NULL ? nr + frags->nr_released : 0;
  struct rte_mbuf *last = m;
  int bad = all > UXDP_MAX_FRAGS;

  for (unsigned i = 0; !bad && i < nr; i++) {
    const struct uxdp_frag *const f = &frags->frags[i];
    const struct rte_mbuf *const seg = (const struct rte_mbuf *)f->cookie;
    const uintptr_t off = (uintptr_t)f->data - (uintptr_t)seg->buf_addr;

    bad = off > seg->buf_len || f->len > seg->buf_len - off;
  }
  ctx->frags = NULL;
  if (unlikely(bad)) {
    if (counts != NULL)
      counts->refused[UXDP_MBUF_BAD_FRAME]++;
    return -EINVAL;
  }
  if (uxdp_mbuf_store_(m, ctx->data_meta, ctx->data, ctx->data_end, all != 0 ? UXDP_MBUF_BYTES_WRITTEN : bytes, counts) != 0)
    return -EINVAL;
  m->pkt_len = m->data_len;
  for (unsigned i = 0; i < nr; i++) {
    const struct uxdp_frag *const f = &frags->frags[i];
    struct rte_mbuf *const seg = (struct rte_mbuf *)f->cookie;

    seg->data_off = (uint16_t)((uintptr_t)f->data - (uintptr_t)seg->buf_addr);
    seg->data_len = (uint16_t)f->len;
    m->pkt_len += f->len;
    last->next = seg;
    last = seg;
  }
  last->next = NULL;
  m->nb_segs = (uint16_t)(nr + 1);
  for (unsigned i = nr; i < all; i++) {
    struct rte_mbuf *const seg = (struct rte_mbuf *)frags->frags[i].cookie;

    seg->next = NULL;
    seg->nb_segs = 1;
    rte_pktmbuf_free_seg(seg);
  }
  return 0;
}

/**
 * Fills `pkts` from a burst of mbufs that one port received, and the context's `ingress_ifindex` from the first. Mbufs that no program may
 * have are moved behind the others, order kept, and counted by reason.
 *
 * Returns how many of `pkts` were filled: mbufs[0 .. ret) belong to them, each also in its `cookie`. The mbufs stay the caller's, the refused
 * ones too. The context's thread. Cannot fail.
 */
static inline unsigned uxdp_pkts_from_mbufs(struct uxdp_ctx *ctx, struct uxdp_pkt *pkts, struct rte_mbuf **mbufs, unsigned n,
                                            struct uxdp_mbuf_counts *counts)
{
  unsigned kept = 0;

  if (n != 0)
    ctx->ingress_ifindex = uxdp_mbuf_ifindex_(mbufs[0]);
  for (unsigned i = 0; i < n; i++) {
    struct rte_mbuf *const m = mbufs[i];
    const unsigned reason = uxdp_mbuf_refusal_(m);
    struct uxdp_pkt *const p = &pkts[kept];

    if (unlikely(reason != UXDP_MBUF_REASONS)) {
      if (counts != NULL)
        counts->refused[reason]++;
      continue;
    }
    uint8_t *const start = (uint8_t *)m->buf_addr;

    p->data_hard_start = start;
    p->data_meta = p->data = start + m->data_off;
    p->data_end = p->data + m->data_len;
    p->frame_end = start + m->buf_len;
    p->cookie = m;
    p->frags = NULL;
    uxdp_mbuf_rx_(m, &p->rx);
    /* Rotates the refused ones in between behind it, which keeps their order. */
    for (unsigned at = i; at > kept; at--)
      mbufs[at] = mbufs[at - 1];
    mbufs[kept++] = m;
  }
  return kept;
}

/**
 * Writes what a program made of a burst back to the mbufs in the packets' `cookie`, as uxdp_ctx_to_mbuf does for one. A packet whose
 * pointers are not in order inside its buffer leaves its mbuf as it was and becomes UXDP_ABORTED.
 *
 * Returns how many of those there were. The mbufs stay the caller's. The context's thread. Cannot fail.
 */
static inline unsigned uxdp_pkts_to_mbufs(struct uxdp_pkt *pkts, unsigned n, enum uxdp_mbuf_bytes bytes, struct uxdp_mbuf_counts *counts)
{
  unsigned bad = 0;

  for (unsigned i = 0; i < n; i++) {
    struct uxdp_pkt *const p = &pkts[i];

    if (unlikely(uxdp_mbuf_store_((struct rte_mbuf *)p->cookie, p->data_meta, p->data, p->data_end, bytes, counts) != 0)) {
      p->action = UXDP_ABORTED;
      bad++;
    }
  }
  return bad;
}

#ifdef __cplusplus
}
#endif

#endif /* UXDP_DPDK_H */
