//! Packets in slices: how a Rust host runs programs without `unsafe`.
//!
//! A [`Frame`] borrows a buffer and says where in it the packet is; a [`Runner`] is a context tied to a worker and a hook. A C host, or one whose packets are not
//! slices (DPDK's mbufs), fills a [`Ctx`] itself.
//!
//! Invariant: a frame's pointers are ordered and into its buffer. `new` establishes it, and helpers, which alone move them, keep it.

use super::run::word;
use super::{Chain, Ctx, Hook, Redirect, Worker, ctx_init, xdp_run};
use crate::error::Errno;
use core::marker::PhantomData;
use core::ops::Range;

/// A packet and the buffer around it.
#[derive(Debug)]
pub struct Frame<'a> {
    hard_start: *mut u8,
    meta: *mut u8,
    data: *mut u8,
    data_end: *mut u8,
    frame_end: *mut u8,
    _buffer: PhantomData<&'a mut [u8]>,
}

impl<'a> Frame<'a> {
    /// The packet at `data` of `buffer`, without metadata. What is before and behind it is room to grow.
    ///
    /// # Errors
    /// EINVAL where `data` is not within the buffer.
    pub fn new(buffer: &'a mut [u8], data: Range<usize>) -> Result<Self, Errno> {
        if data.start > data.end || data.end > buffer.len() {
            return Err(Errno::EINVAL);
        }
        let Range { start: hard_start, end: frame_end } = buffer.as_mut_ptr_range();
        // SAFETY: both are within the buffer, as was just checked.
        let (at, data_end) = unsafe { (hard_start.add(data.start), hard_start.add(data.end)) };
        Ok(Frame { hard_start, meta: at, data: at, data_end, frame_end, _buffer: PhantomData })
    }

    /// The packet.
    pub fn data(&self) -> &[u8] {
        // SAFETY: the invariant; the buffer is borrowed for as long as the frame.
        unsafe { between(self.data, self.data_end) }
    }

    /// The metadata before the packet; empty where there is none.
    pub fn metadata(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { between(self.meta, self.data) }
    }

    /// Where in the buffer the packet begins now.
    pub fn offset(&self) -> usize {
        self.data.addr() - self.hard_start.addr()
    }
}

/// The bytes from one address up to another.
///
/// # Safety
/// Both are into one buffer that lives and is not written for `'b`, in this order.
unsafe fn between<'b>(from: *const u8, to: *const u8) -> &'b [u8] {
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts(from, to.addr() - from.addr()) }
}

/// Where packets say that they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Interface it came in by; 0 is none.
    pub ingress_ifindex: u32,
    /// Queue of that interface.
    pub rx_queue_index: u32,
    /// Interface it leaves by, for devmap programs.
    pub egress_ifindex: u32,
}

/// Runs packets through a hook, as a worker.
pub struct Runner<'a> {
    ctx: Ctx,
    _tied: PhantomData<(&'a Worker, &'a Hook)>,
}

impl<'a> Runner<'a> {
    /// A context for packets of one origin.
    ///
    /// # Errors
    /// EINVAL where worker and hook are of different environments.
    pub fn new(worker: &'a Worker, hook: &'a Hook, origin: Origin) -> Result<Self, Errno> {
        let mut ctx = Ctx::empty();
        // SAFETY: the context is ours; worker and hook are borrowed for as long as it lives, and the worker is bound to this thread.
        unsafe { ctx_init(&mut ctx, worker, hook)? };
        ctx.ingress_ifindex = origin.ingress_ifindex;
        ctx.rx_queue_index = origin.rx_queue_index;
        ctx.egress_ifindex = origin.egress_ifindex;
        Ok(Runner { ctx, _tied: PhantomData })
    }

    /// Runs one packet; the action's code. The frame is then as the program left it.
    #[inline]
    pub fn run(&mut self, frame: &mut Frame<'_>) -> u32 {
        let c = &mut self.ctx;
        word(&mut c.data_hard_start, &frame.hard_start);
        word(&mut c.data_meta, &frame.meta);
        word(&mut c.data, &frame.data);
        word(&mut c.data_end, &frame.data_end);
        word(&mut c.frame_end, &frame.frame_end);
        // SAFETY: made by `ctx_init` with what lives; the pointers are ordered and into a buffer that the frame borrows mutably.
        let action = unsafe { xdp_run(c) };
        word(&mut frame.meta, &c.data_meta);
        word(&mut frame.data, &c.data);
        word(&mut frame.data_end, &c.data_end);
        action
    }

    /// As [`Runner::run`], of a packet that goes on in fragments. Where a program does not take them (`xdp.frags`) the run is aborted.
    pub fn run_chain(&mut self, frame: &mut Frame<'_>, rest: &mut Chain<'_>) -> u32 {
        self.ctx.frags = &raw mut rest.frags;
        let action = self.run(frame);
        self.ctx.frags = core::ptr::null_mut();
        action
    }

    /// Where the last packet goes that was redirected.
    pub fn redirect(&self) -> Redirect {
        self.ctx.redirect
    }
}
