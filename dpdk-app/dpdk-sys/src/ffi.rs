//! The declarations of `glue/glue.h`, item by item. Both sides are ours: a change to one is a change to the other.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `struct rte_mbuf`, never looked into from Rust.
#[repr(C)]
pub(crate) struct RteMbuf {
    _opaque: [u8; 0],
}

/// `struct rte_mempool`, never looked into from Rust.
#[repr(C)]
pub(crate) struct RteMempool {
    _opaque: [u8; 0],
}

/// `struct rte_ring`, never looked into from Rust.
#[repr(C)]
pub(crate) struct RteRing {
    _opaque: [u8; 0],
}

pub(crate) const REASONS: usize = 5;

#[repr(C)]
pub(crate) struct PortInfo {
    pub(crate) name: [c_char; 64],
    pub(crate) driver: [c_char; 32],
    pub(crate) mac: [u8; 6],
    pub(crate) max_rx_queues: u16,
    pub(crate) max_tx_queues: u16,
    pub(crate) socket: i32,
    pub(crate) offers: u32,
    pub(crate) ifindex: u32,
    pub(crate) mtu: u16,
}

unsafe extern "C" {
    pub(crate) fn glue_eal_init(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub(crate) fn glue_eal_cleanup() -> c_int;
    pub(crate) fn glue_strerror(err: c_int) -> *const c_char;
    pub(crate) fn glue_version() -> *const c_char;
    pub(crate) fn glue_lcore_id() -> c_uint;
    pub(crate) fn glue_lcore_count() -> c_uint;
    pub(crate) fn glue_lcore_next(after: c_uint, skip_main: c_int) -> c_uint;
    pub(crate) fn glue_socket_id() -> c_int;
    pub(crate) fn glue_lcore_launch(
        job: unsafe extern "C" fn(*mut c_void) -> c_int,
        arg: *mut c_void,
        lcore: c_uint,
    ) -> c_int;
    pub(crate) fn glue_lcore_wait(lcore: c_uint) -> c_int;
    pub(crate) fn glue_pause();

    pub(crate) fn glue_ring_create(
        name: *const c_char,
        size: c_uint,
        count: c_uint,
        socket: c_int,
        out: *mut *mut RteRing,
    ) -> c_int;
    pub(crate) fn glue_ring_free(ring: *mut RteRing);
    pub(crate) fn glue_ring_push(ring: *mut RteRing, record: *const c_void, size: c_uint) -> c_int;
    pub(crate) fn glue_ring_pop(ring: *mut RteRing, record: *mut c_void, size: c_uint) -> c_int;

    pub(crate) fn glue_mempool_create(
        name: *const c_char,
        n: c_uint,
        cache: c_uint,
        data_room: u16,
        socket: c_int,
        out: *mut *mut RteMempool,
    ) -> c_int;
    pub(crate) fn glue_mempool_free(pool: *mut RteMempool);
    pub(crate) fn glue_mempool_size(pool: *const RteMempool) -> c_uint;
    pub(crate) fn glue_mempool_available(pool: *const RteMempool) -> c_uint;
    pub(crate) fn glue_mempool_in_use(pool: *const RteMempool) -> c_uint;

    pub(crate) fn glue_port_count() -> u16;
    pub(crate) fn glue_port_next(from: u32) -> u32;
    pub(crate) fn glue_port_by_name(name: *const c_char) -> c_int;
    pub(crate) fn glue_port_info(port: u16, out: *mut PortInfo) -> c_int;
    pub(crate) fn glue_port_configure(
        port: u16,
        pool: *mut RteMempool,
        rx_queues: u16,
        offers: u32,
        rxd: *mut u16,
        txd: *mut u16,
    ) -> c_int;
    pub(crate) fn glue_port_start(port: u16) -> c_int;
    pub(crate) fn glue_port_stop(port: u16) -> c_int;
    pub(crate) fn glue_port_close(port: u16) -> c_int;
    pub(crate) fn glue_port_promiscuous(port: u16, on: c_int) -> c_int;
    pub(crate) fn glue_port_stats(port: u16, out: *mut crate::PortStats) -> c_int;

    pub(crate) fn glue_rx_burst(port: u16, queue: u16, mbufs: *mut *mut RteMbuf, n: u16) -> u16;
    pub(crate) fn glue_tx_burst(port: u16, queue: u16, mbufs: *mut *mut RteMbuf, n: u16) -> u16;
    pub(crate) fn glue_tx_done_cleanup(port: u16, queue: u16) -> c_int;
    pub(crate) fn glue_free_bulk(mbufs: *mut *mut RteMbuf, n: c_uint);
    pub(crate) fn glue_copy(m: *mut RteMbuf, pool: *mut RteMempool, metadata: u16) -> *mut RteMbuf;
    pub(crate) fn glue_alloc_bulk(pool: *mut RteMempool, mbufs: *mut *mut RteMbuf, n: c_uint) -> c_int;
    pub(crate) fn glue_frames_load(
        mbufs: *mut *mut RteMbuf,
        n: u16,
        frames: *mut c_void,
        stride: usize,
        meta: *mut crate::RxMeta,
        frags: *mut crate::Segments,
        frags_at: usize,
        reasons: *mut u64,
        vouched: *mut c_int,
    ) -> u16;
    pub(crate) fn glue_frames_store(
        mbufs: *mut *mut RteMbuf,
        n: u16,
        frames: *const c_void,
        stride: usize,
        frags_at: usize,
    ) -> u64;
}
