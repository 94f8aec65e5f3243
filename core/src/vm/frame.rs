//! Packets in slices: how a Rust host runs programs without `unsafe`.
//!
//! A [`Frame`] borrows a buffer and says where in it the packet is; a [`Runner`] is a context tied to a worker and a hook. A C host, or one whose packets are not
//! slices (DPDK's mbufs), fills a [`Ctx`] itself.
//!
//! Invariant: a frame's pointers are ordered and into its buffer. `new` establishes it, and helpers, which alone move them, keep it.

use super::run::word;
use super::{
    Action, BPF_F_BROADCAST, Chain, Ctx, Hook, Redirect, RedirectKind, Worker, ctx_init, next_target,
    run_entry, xdp_run,
};
use crate::error::Errno;
use crate::mem::{OutOfMemory, Vec};
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

/// One way of a redirected packet.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The entry that the packet was redirected to.
    pub entry: Redirect,
    /// Whether it has a program.
    pub has_program: bool,
    /// What that program made of the packet ([`run_entry`]); PASS without one.
    pub action: u32,
    /// Where the packet goes on.
    pub goes: Redirect,
}

/// Most redirects of one packet in a row: an entry of a CPU map may redirect to another.
const MOST_WAYS: usize = 8;

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
        self.take(frame);
        // SAFETY: made by `ctx_init` with what lives; the pointers are ordered and into a buffer that the frame borrows mutably.
        let action = unsafe { xdp_run(&mut self.ctx) };
        self.give(frame);
        action
    }

    /// The frame's packet is the context's.
    #[inline(always)]
    fn take(&mut self, frame: &Frame<'_>) {
        let c = &mut self.ctx;
        word(&mut c.data_hard_start, &frame.hard_start);
        word(&mut c.data_meta, &frame.meta);
        word(&mut c.data, &frame.data);
        word(&mut c.data_end, &frame.data_end);
        word(&mut c.frame_end, &frame.frame_end);
    }

    /// The packet is as the context has it.
    #[inline(always)]
    fn give(&self, frame: &mut Frame<'_>) {
        let c = &self.ctx;
        word(&mut frame.meta, &c.data_meta);
        word(&mut frame.data, &c.data);
        word(&mut frame.data_end, &c.data_end);
    }

    /// As [`Runner::run`], and a packet that is redirected leaves at once: the programs of the entries that it goes to run on it, and `each` is told of every way, with the
    /// packet as it leaves by that. One that is for all entries of a device map (`BPF_F_BROADCAST`) gets a copy each. What `run` would return.
    ///
    /// # Errors
    /// Where there is no memory for a copy.
    pub fn run_through(
        &mut self,
        frame: &mut Frame<'_>,
        each: &mut dyn FnMut(&Way, &Frame<'_>),
    ) -> Result<u32, OutOfMemory> {
        let action = self.run(frame);
        if action != Action::Redirect as u32 {
            return Ok(action);
        }
        let all = self.ctx.redirect;
        if all.kind != RedirectKind::Devmap || all.flags & BPF_F_BROADCAST == 0 {
            self.run_entries(frame, each);
            return Ok(action);
        }
        let (data_meta, data, data_end) = (frame.meta, frame.data, frame.data_end);
        // SAFETY: the invariant; the frame borrows the buffer.
        let packet = Vec::from_slice(unsafe { between(data_meta, data_end) })?;
        let mut cursor = 0;
        // SAFETY: the redirect is that of the run above; the worker's thread is in this call.
        while let Some(one) = unsafe { next_target(&all, self.ctx.ingress_ifindex, &mut cursor) } {
            self.ctx.redirect = one;
            self.run_entries(frame, each);
            (frame.meta, frame.data, frame.data_end) = (data_meta, data, data_end);
            // SAFETY: they were ordered and into the buffer before the entry's program ran; nothing borrows it now.
            unsafe { core::ptr::copy_nonoverlapping(packet.as_ptr(), data_meta, packet.len()) };
            self.take(frame);
        }
        self.ctx.redirect = all;
        Ok(action)
    }

    /// Runs the program of the entry that the context's redirect names, and of those that its redirects lead to.
    fn run_entries(&mut self, frame: &mut Frame<'_>, each: &mut dyn FnMut(&Way, &Frame<'_>)) {
        for _ in 0..MOST_WAYS {
            let entry = self.ctx.redirect;
            // SAFETY: the redirect was left by a run in this call of `run_through`, or by `next_target`; the packet is the frame's.
            let action = unsafe { run_entry(&mut self.ctx) };
            self.give(frame);
            let has_program = !entry.egress_prog.is_null();
            let goes = self.ctx.redirect;
            each(&Way { entry, has_program, action, goes }, frame);
            if action != Action::Redirect as u32 || goes.egress_prog.is_null() {
                return;
            }
        }
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
