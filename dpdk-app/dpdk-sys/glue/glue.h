/* DPDK behind ordinary functions and plain structs.
 *
 * DPDK's fast path is inline C over structs whose layout moves between releases. This file pair is the only place that sees those
 * structs: Rust sees opaque pointers and the structs below, whose layout is ours. It compiles on DPDK 22.11 to 25.11.
 *
 * Per burst there are at most five calls (receive, read, write back, send, free), never one per packet.
 *
 * Return values: 0 or positive is success, negative is a negated errno value.
 */
#ifndef DPDK_GLUE_H
#define DPDK_GLUE_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

/* The head of whatever record the caller keeps per packet; the same six words that begin `struct uxdp_pkt`. */
struct glue_frame {
	uint8_t *data_hard_start; /* first byte of the buffer: all of the headroom may be used */
	uint8_t *data_meta;       /* == data: no metadata */
	uint8_t *data;
	uint8_t *data_end;
	uint8_t *frame_end;       /* one past the last byte of the buffer: all of the tailroom may be used */
	void *cookie;             /* the mbuf */
};

/* The segments of a packet behind its first: `struct uxdp_frags`. */
#define GLUE_MAX_FRAGS 17u

struct glue_frag {
	uint8_t *data;
	uint32_t len;
	uint32_t room; /* bytes from `data` to the end of the segment's buffer */
	void *cookie;  /* the segment */
};

struct glue_frags {
	uint32_t nr;
	uint32_t nr_released; /* behind those: segments that the program dropped */
	struct glue_frag frags[GLUE_MAX_FRAGS];
};

/* What the driver said about a packet beside its bytes. */
struct glue_rx_meta {
	uint64_t timestamp; /* nanoseconds, valid if GLUE_META_TIMESTAMP */
	uint32_t hash;     /* valid if GLUE_META_HASH */
	uint16_t vlan_tci; /* host order, valid if GLUE_META_VLAN: the tag was stripped from the bytes */
	uint16_t valid;
};
#define GLUE_META_HASH 1u
#define GLUE_META_VLAN 2u
#define GLUE_META_TIMESTAMP 4u

/* Why an mbuf is not given to a program. */
#define GLUE_CHAINED 0u  /* more than one segment, or more than a program can have */
#define GLUE_SHARED 1u   /* reference count above one: someone else reads these bytes */
#define GLUE_INDIRECT 2u /* attached to the data of another mbuf */
#define GLUE_EXTERNAL 3u /* attached to an external buffer that has other users */
#define GLUE_BAD_FRAME 4u /* on the way back: the four pointers do not lie in order inside the mbuf's buffer */
#define GLUE_REASONS 5u

struct glue_port_info {
	char name[64];
	char driver[32];
	uint8_t mac[6];
	uint16_t max_rx_queues;
	uint16_t max_tx_queues;
	int32_t socket;  /* NUMA node, -1 unknown */
	uint32_t offers; /* GLUE_OFFERS_* */
	uint32_t ifindex; /* the interface of the kernel's that it is, 0: none */
	uint16_t mtu;
};

/* What a port can be configured to do. */
#define GLUE_OFFERS_HASH 1u    /* tell the hash by which it chose the queue */
#define GLUE_OFFERS_VLAN 2u    /* take the VLAN tag off and tell it */
#define GLUE_OFFERS_SCATTER 4u /* receive packets longer than a buffer, in several */
#define GLUE_OFFERS_TIMESTAMP 8u /* tell when a packet came, in a unit that is known */

struct glue_port_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_no_mbuf;
};

/* EAL. `argv` must stay allocated until the process ends. */
int glue_eal_init(int argc, char **argv);
int glue_eal_cleanup(void);
const char *glue_strerror(int err);
const char *glue_version(void);
unsigned glue_lcore_id(void);    /* UINT32_MAX in a thread that EAL does not know */
unsigned glue_lcore_count(void);
unsigned glue_lcore_next(unsigned after, int skip_main); /* first: after = UINT32_MAX; none left: UINT32_MAX */
int glue_socket_id(void);
int glue_lcore_launch(int (*job)(void *), void *arg, unsigned lcore); /* not the main one */
int glue_lcore_wait(unsigned lcore);                                 /* until its job has returned; what that returned */
void glue_pause(void);                                               /* a moment, in a loop that polls */

/* Rings of records of `size` bytes, a multiple of 4, from any number of threads to one. `count` is a power of two; one less fits. */
int glue_ring_create(const char *name, unsigned size, unsigned count, int socket, struct rte_ring **out);
void glue_ring_free(struct rte_ring *ring);
int glue_ring_push(struct rte_ring *ring, const void *record, unsigned size); /* 0: it is full */
int glue_ring_pop(struct rte_ring *ring, void *record, unsigned size);        /* 0: it is empty */

/* Pools of packet buffers. Every buffer has DPDK's headroom and `data_room` bytes of data. */
int glue_mempool_create(const char *name, unsigned n, unsigned cache, uint16_t data_room, int socket, struct rte_mempool **out);
void glue_mempool_free(struct rte_mempool *pool);
unsigned glue_mempool_size(const struct rte_mempool *pool);
unsigned glue_mempool_available(const struct rte_mempool *pool);
unsigned glue_mempool_in_use(const struct rte_mempool *pool);

/* Ports. */
uint16_t glue_port_count(void);
uint32_t glue_port_next(uint32_t from); /* the first port >= from; none: UINT32_MAX */
int glue_port_by_name(const char *name); /* port, or negative */
int glue_port_info(uint16_t port, struct glue_port_info *out);
/* Configures some RX queues, over which flows are spread where the device can, and one TX queue, with what of `use` (GLUE_OFFERS_*) the device offers; *rxd and *txd
 * are what is wished for, and what the driver made of it. */
int glue_port_configure(uint16_t port, struct rte_mempool *pool, uint16_t rx_queues, uint32_t use, uint16_t *rxd, uint16_t *txd);
int glue_port_start(uint16_t port);
int glue_port_stop(uint16_t port);
int glue_port_close(uint16_t port);
int glue_port_promiscuous(uint16_t port, int on);
int glue_port_stats(uint16_t port, struct glue_port_stats *out);

/* Bursts. */
uint16_t glue_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n);
uint16_t glue_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t n);
int glue_tx_done_cleanup(uint16_t port, uint16_t queue);
void glue_free_bulk(struct rte_mbuf **mbufs, unsigned n);
/* A copy of the packet and of `metadata` bytes before it, with headroom of its own; NULL: the pool has no buffers left, or there are no such bytes. */
struct rte_mbuf *glue_copy(struct rte_mbuf *m, struct rte_mempool *pool, uint16_t metadata);
int glue_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned n);

/* Reads n mbufs into n records of `stride` bytes, each beginning with a struct glue_frame.
 * Those that no program may have are moved behind the others, order kept, and counted in reasons[GLUE_*].
 * frags: NULL, or room for n packets: then packets of several segments are kept, too, and a pointer to the segments behind the first, or NULL, is written at byte
 * frags_at of each record.
 * meta may be NULL. *vouched: whether the driver vouched for anything in any of the packets (see glue_frames_store). Returns how many records were written: mbufs[0..ret) belong to them. n <= 64. */
uint16_t glue_frames_load(struct rte_mbuf **mbufs, uint16_t n, void *frames, size_t stride, struct glue_rx_meta *meta,
			  struct glue_frags *frags, size_t frags_at, uint64_t *reasons, int *vouched);

/* frags_at: 0, or where glue_frames_load wrote pointers: segments that a program dropped are freed.
 * Writes data_off and the lengths of n records back, and clears flags and fields by which the driver vouched for the packet as it
 * came (hash, checksums, packet type).
 * A record whose pointers are not inside its buffer leaves its mbuf as it was; its bit is set in the result. n <= 64. */
uint64_t glue_frames_store(struct rte_mbuf **mbufs, uint16_t n, const void *frames, size_t stride, size_t frags_at);

#endif
