// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_maps_plain: xdp_maps with plain additions in place of atomic ones, so that rbpf, which has no atomics, can be timed on the same program.
 *
 * Maps, helpers, expected behaviour: as xdp_maps, on one core.
 */
#define __sync_fetch_and_add(to, n) (*(to) += (n))
#define xdp_maps xdp_maps_plain
#include "../xdp_progs/xdp_maps.c"
