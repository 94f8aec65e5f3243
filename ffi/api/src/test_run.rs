//! One packet through one program, as BPF_PROG_TEST_RUN does it, without root and without a worker of one's own.

use crate::prog::uxdp_prog;
use crate::status::{Failed, arg, fail, status};
use crate::{opts, uxdp_redirect, uxdp_test_run_opts};
use core::ffi::c_int;
use uxdp_core::error::Errno;
use uxdp_core::limits::{ETH_HLEN, XDP_PACKET_HEADROOM};
use uxdp_core::mem::Vec;
use uxdp_core::platform::Clock;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Ctx, Env, Frag, Frags, Pkt, Redirect, RxMeta, Worker, ctx_init, xdp_run_burst};

/// Bytes of the kernel's buffer that a program can use: a page without the shared info at its end.
const FRAME: usize = 4096 - 320;
/// Bytes of a fragment.
const PAGE: usize = 4096;
/// Longest packet: that of a 16-bit length.
const MAX_PACKET: usize = 65535;

/// Runs a program on a packet, `repeat` times on the same one, on the calling thread. Needs a slot that no worker holds while it runs.
///
/// A packet of more than 3,520 bytes is in several buffers for a program of section `xdp.frags`, as the kernel makes it, and in one for others.
///
/// `p`, `opts` and what it points to stay the caller's; results are in `opts` then. Any thread that has no online worker of its own. 0; -EINVAL for NULL, a program that is not
/// loaded, a packet shorter than 14 or longer than 65,535 bytes; -ENOSPC where `data_out` is too short (it has what fits, `data_size_out` says what there
/// is), -EBUSY where every slot is taken, -EOPNOTSUPP for programs of device and CPU maps, -E2BIG for options that this version does not know, -ENOMEM.
///
/// # Safety
/// `p` is NULL or a handle; `opts` is NULL or points at `opts->sz` bytes whose pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_test_run(p: *mut uxdp_prog, opts: *mut uxdp_test_run_opts) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (prog, mut o) = unsafe { (arg(p, "program")?.loaded()?, opts::read(arg(opts, "opts")?)?) };
        let len = o.data_size_in;
        if !(ETH_HLEN..=MAX_PACKET).contains(&len) {
            return Err(fail(
                Errno::EINVAL,
                format_args!("a packet of {len} bytes; it has {ETH_HLEN} to {MAX_PACKET}"),
            ));
        }
        // SAFETY: the caller's word.
        let packet = unsafe { core::slice::from_raw_parts(arg(o.data_in.cast::<u8>(), "data_in")?, len) };
        let hook = prog.hook.as_ref().ok_or_else(|| {
            fail(Errno::EOPNOTSUPP, format_args!("the program is for entries of a device or CPU map"))
        })?;
        // A program that takes several buffers gets what does not fit the first one in fragments.
        let chained = prog.prog.program().code().frags && len > FRAME - XDP_PACKET_HEADROOM;
        let (first, rest) = packet.split_at(if chained { FRAME - XDP_PACKET_HEADROOM } else { len });
        let mut buffer = Vec::filled(0u8, FRAME.max(XDP_PACKET_HEADROOM + first.len()))?;
        let mut pages = Vec::filled(0u8, rest.len().next_multiple_of(PAGE))?;
        let mut frags = fragments(rest, &mut pages);
        let worker = lease(prog.prog.env())?;
        let mut ctx = Ctx::empty();
        let frame = buffer.as_mut_ptr_range();
        // SAFETY: the buffer has room for headroom and packet; worker and hook live longer than the context; this thread alone uses all of them.
        let mut pkt = unsafe {
            ctx_init(&raw mut ctx, &worker, &hook.hook)?;
            let data = frame.start.add(XDP_PACKET_HEADROOM);
            data.copy_from_nonoverlapping(first.as_ptr(), first.len());
            Pkt {
                data_hard_start: frame.start,
                data_meta: data,
                data,
                data_end: data.add(first.len()),
                frame_end: frame.end,
                cookie: core::ptr::null_mut(),
                rx: RxMeta::NONE,
                frags: if chained { &raw mut frags } else { core::ptr::null_mut() },
                action: 0,
                redirect: Redirect::NONE,
            }
        };
        ctx.ingress_ifindex = o.ingress_ifindex;
        ctx.rx_queue_index = o.rx_queue_index;

        let clock = || prog.prog.env().platform().clock_ns(Clock::Monotonic).unwrap_or(0);
        let runs = o.repeat.max(1);
        let start = clock();
        for i in 0..runs {
            // SAFETY: tied above; programs keep the pointers in order inside the buffer.
            unsafe { xdp_run_burst(&raw mut ctx, &raw mut pkt, 1) };
            if i % 64 == 63 {
                worker.quiescent();
            }
        }
        let spent = clock().saturating_sub(start);
        o.duration = u32::try_from(spent / u64::from(runs)).unwrap_or(u32::MAX);

        o.retval = pkt.action;
        // SAFETY: `Redirect` and its mirror are the same, as the assertions in ctx.rs show.
        o.redirect = unsafe { core::mem::transmute::<Redirect, uxdp_redirect>(pkt.redirect) };
        let (room, linear) = (o.data_size_out, pkt.data_end.addr() - pkt.data.addr());
        let len = linear + frags.len() as usize;
        o.data_size_out = len;
        if !o.data_out.is_null() {
            let pieces =
                [(pkt.data, linear)].into_iter().chain(frags.live().iter().map(|f| (f.data, f.len as usize)));
            let mut done = 0;
            for (at, n) in pieces {
                let n = n.min(room - done);
                // SAFETY: each piece is inside its buffer; `data_out` has `room` bytes by the caller's word.
                unsafe { core::ptr::copy_nonoverlapping(at, o.data_out.cast::<u8>().add(done), n) };
                done += n;
            }
        }
        let short = !o.data_out.is_null() && room < len;
        // SAFETY: the caller's word.
        unsafe { opts::write(opts, o)? };
        if short {
            return Err(fail(Errno::ENOSPC, format_args!("the packet has {len} bytes, data_out {room}")));
        }
        Ok(())
    })
}

/// Puts bytes into pages, each a fragment: at most as many as a packet can have, since it is no longer than [`MAX_PACKET`].
fn fragments(bytes: &[u8], pages: &mut [u8]) -> Frags {
    let mut frags = Frags::EMPTY;
    let each = pages.chunks_mut(PAGE).zip(bytes.chunks(PAGE)).zip(&mut frags.frags);
    let mut nr = 0;
    for ((page, bytes), frag) in each {
        for (to, from) in page.iter_mut().zip(bytes) {
            *to = *from;
        }
        *frag = Frag { data: page.as_mut_ptr(), len: bytes.len() as u32, room: PAGE as u32, ..Frag::EMPTY };
        nr += 1;
    }
    frags.nr = nr;
    frags
}

/// A slot that no worker holds, the last one first: hosts count theirs from 0.
fn lease(env: &Arc<Env>) -> Result<Worker, Failed> {
    for slot in (0..env.nr_cpus()).rev() {
        match Worker::register(env, slot) {
            Err(Errno::EBUSY) => {}
            other => return Ok(other?),
        }
    }
    Err(fail(Errno::EBUSY, format_args!("each of {} slots is a worker's", env.nr_cpus())))
}
