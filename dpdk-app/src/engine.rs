//! The seam between the forwarding loop and whatever decides about packets.
//!
//! The loop knows a [`Pkt`] and [`Engine::run_burst`]; nothing outside this file knows where the decision comes from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dpdk_sys::{Changes, Frame, FrameHead};

use crate::args::{Args, Native};

pub(crate) const XDP_ABORTED: u32 = 0;
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;
pub(crate) const XDP_TX: u32 = 3;
pub(crate) const XDP_REDIRECT: u32 = 4;

/// A packet and, after the run, what became of it. The frame is the head of `struct uxdp_pkt`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pkt {
    pub(crate) frame: Frame,
    /// What the program returned.
    pub(crate) action: u32,
    /// Where XDP_REDIRECT goes: port + 1, and 0 is nowhere.
    pub(crate) redirect_ifindex: u32,
}

// SAFETY: repr(C), and the frame is the first field.
unsafe impl FrameHead for Pkt {}

impl Pkt {
    pub(crate) const EMPTY: Self = Self { frame: Frame::EMPTY, action: XDP_ABORTED, redirect_ifindex: 0 };

    /// What decides where it goes, in one word. Packets of one fate go the same way; those of different fates may, too.
    #[inline]
    pub(crate) fn fate(&self) -> u64 {
        u64::from(self.action) | u64::from(self.redirect_ifindex) << 32
    }
}

/// Decides about packets, a burst at a time.
pub(crate) trait Engine {
    /// What runs, for the report.
    fn name(&self) -> String;

    /// The most that it may do to a packet.
    fn changes(&self) -> Changes;

    /// Runs the program on every packet, in order, as received on `port`, and fills in `action` and `redirect_ifindex`.
    ///
    /// # Safety
    /// The five pointers of each packet are in order and inside one buffer that nobody else reads or writes meanwhile.
    unsafe fn run_burst(&mut self, port: u16, pkts: &mut [Pkt]);
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not run: this build of l2fwd has no packet VM, only --native", .0.display())]
    NoVm(PathBuf),
}

/// Makes the engine that the arguments ask for.
///
/// # Errors
/// A file that cannot be read, or a program that the engine does not take.
pub(crate) fn load(args: &Args) -> Result<Box<dyn Engine>, LoadError> {
    if let Some(prog) = &args.prog {
        let (path, _name) = split_prog(prog);
        for path in [Some(path), args.maps.as_deref()].into_iter().flatten() {
            std::fs::read(path).map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
        }
        return Err(LoadError::NoVm(path.to_owned()));
    }
    Ok(Box::new(NativeEngine::new(args.native.unwrap_or(Native::Pass))))
}

/// `prog.o:name` is a file and a program's name; a file that exists under the whole text is just that.
fn split_prog(prog: &OsStr) -> (&Path, Option<&str>) {
    let whole = Path::new(prog);
    match prog.to_str().and_then(|text| text.rsplit_once(':')) {
        Some((path, name)) if !whole.exists() => (Path::new(path), Some(name)),
        _ => (whole, None),
    }
}

/// A native function in a program's place: what forwarding costs when the program costs nothing but a call.
struct NativeEngine {
    which: Native,
    function: unsafe extern "C" fn(&mut Pkt) -> u32,
}

impl NativeEngine {
    fn new(which: Native) -> Self {
        let function: unsafe extern "C" fn(&mut Pkt) -> u32 = match which {
            Native::Tx => native_tx,
            Native::Drop => native_drop,
            Native::Pass => native_pass,
        };
        // The compiler must not know which one it is, or it would inline it.
        Self { which, function: std::hint::black_box(function) }
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> String {
        format!("native {:?}", self.which).to_lowercase()
    }

    fn changes(&self) -> Changes {
        if self.which == Native::Tx { Changes::Bytes } else { Changes::Nothing }
    }

    unsafe fn run_burst(&mut self, _port: u16, pkts: &mut [Pkt]) {
        for pkt in pkts {
            // SAFETY: what the caller promises for each packet is what the functions need.
            pkt.action = unsafe { (self.function)(pkt) };
        }
    }
}

/// Swaps the MAC addresses; a packet that has none is dropped.
///
/// # Safety
/// As for [`Engine::run_burst`].
unsafe extern "C" fn native_tx(pkt: &mut Pkt) -> u32 {
    const ADDRESSES: usize = 12;
    const ETHERNET_HEADER: usize = 14;
    let Frame { data, data_end, .. } = pkt.frame;
    if (data_end as usize) - (data as usize) < ETHERNET_HEADER {
        return XDP_DROP;
    }
    // SAFETY: at least 14 bytes lie between data and data_end, in a buffer that is ours (caller). Bytes need no alignment.
    unsafe {
        let addresses = data.cast::<[u8; ADDRESSES]>();
        let [d0, d1, d2, d3, d4, d5, s @ ..] = addresses.read();
        let [s0, s1, s2, s3, s4, s5] = s;
        addresses.write([s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5]);
    }
    XDP_TX
}

unsafe extern "C" fn native_drop(_pkt: &mut Pkt) -> u32 {
    XDP_DROP
}

unsafe extern "C" fn native_pass(_pkt: &mut Pkt) -> u32 {
    XDP_PASS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(which: Native, packet: &mut [u8]) -> u32 {
        let std::ops::Range { start, end } = packet.as_mut_ptr_range();
        let frame = Frame {
            data_hard_start: start,
            data_meta: start,
            data: start,
            data_end: end,
            frame_end: end,
            cookie: std::ptr::null_mut(),
        };
        let mut pkts = [Pkt { frame, ..Pkt::EMPTY }];
        // SAFETY: the pointers are those of a slice that is ours alone.
        unsafe { NativeEngine::new(which).run_burst(0, &mut pkts) };
        pkts[0].action
    }

    #[test]
    fn native_tx_swaps_the_addresses() {
        let mut packet = *b"DDDDDDSSSSSSTTpayload";
        assert_eq!(run(Native::Tx, &mut packet), XDP_TX);
        assert_eq!(&packet, b"SSSSSSDDDDDDTTpayload");
    }

    #[test]
    fn native_tx_drops_what_has_no_ethernet_header() {
        let mut packet = *b"DDDDDDSSSSSST";
        assert_eq!(run(Native::Tx, &mut packet), XDP_DROP);
        assert_eq!(&packet, b"DDDDDDSSSSSST");
    }

    #[test]
    fn program_names_follow_the_last_colon_of_a_path_that_is_no_file() {
        assert_eq!(split_prog(OsStr::new("a.o:main")), (Path::new("a.o"), Some("main")));
        assert_eq!(split_prog(OsStr::new("a.o")), (Path::new("a.o"), None));
    }
}
