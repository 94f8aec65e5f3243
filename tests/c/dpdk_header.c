/* The mbuf glue, included twice and all of it used; only compiled. */
#include <uxdp_dpdk.h>
#include <uxdp_dpdk.h>

unsigned all_of_it(struct uxdp_ctx *ctx, struct uxdp_pkt *pkts, struct rte_mbuf **mbufs, unsigned n);

unsigned all_of_it(struct uxdp_ctx *ctx, struct uxdp_pkt *pkts, struct rte_mbuf **mbufs, unsigned n)
{
  struct uxdp_mbuf_counts counts = {{0}};

  if (uxdp_ctx_from_mbuf(ctx, mbufs[0], &counts) == 0 && xdp_run(ctx) == UXDP_TX)
    (void)uxdp_ctx_to_mbuf(ctx, mbufs[0], UXDP_MBUF_BYTES_WRITTEN, &counts);
  n = uxdp_pkts_from_mbufs(ctx, pkts, mbufs, n, NULL);
  xdp_run_burst(ctx, pkts, n);
  return uxdp_pkts_to_mbufs(pkts, n, UXDP_MBUF_BYTES_KEPT, &counts);
}
