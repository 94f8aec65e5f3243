//! An XDP program in the packet VM: loaded, proven and compiled before EAL starts, then run a burst at a time by the one worker.

use std::ffi::OsStr;
use std::path::Path;

use dpdk_sys::Changes;
use uxdp_control::maps_json;
use uxdp_control::session::{Ready, Session, SessionError};
use uxdp_core::error::Errno;
use uxdp_core::vm::{self, AbortReason, Ctx, EngineChoice, Hook, PacketUse, Worker};

use super::{Engine, MapContents, Pkt};
use crate::args::{Args, EngineKind};

/// The slot of the only worker.
const SLOT: u32 = 0;

// Fields are dropped in order: the context's users first, the maps last.
pub(super) struct ProgramEngine {
    ctx: Box<Ctx>,
    worker: Worker,
    _hook: uxdp_core::sync::Arc<Hook>,
    ready: Ready,
    changes: Changes,
    shown: Vec<String>,
    session: Session,
}

impl ProgramEngine {
    pub(super) fn load(prog: &OsStr, args: &Args) -> Result<Self, Box<SessionError>> {
        let (path, name) = split_prog(prog);
        let choice = match args.engine {
            EngineKind::Jit => EngineChoice::Best,
            EngineKind::Interp => EngineChoice::Interp,
        };
        let session = Session::open(path, args.maps.as_deref(), choice)?;
        for name in &args.map_dump {
            session.find_map(name)?;
        }
        let ready = session.program(session.choose(name)?)?;
        let hook = session.hook(&ready)?;
        let machine = |error: Errno| SessionError::Machine { what: "cannot run a program".into(), error };
        let worker = Worker::register(session.env(), SLOT).map_err(machine)?;
        let mut ctx = Box::new(Ctx::empty());
        // SAFETY: the box is writable; worker and hook live as long as the context, in this struct, which stays on one thread.
        unsafe { vm::ctx_init(&mut *ctx, &worker, &hook) }.map_err(machine)?;
        let changes = match ready.prog.packet_use() {
            PacketUse::Reads => Changes::Nothing,
            PacketUse::Writes => Changes::Bytes,
            PacketUse::Moves => Changes::Bounds,
        };
        Ok(Self { ctx, worker, _hook: hook, ready, changes, shown: args.map_dump.clone(), session })
    }
}

/// Callbacks of timers between two rounds of bursts, at most.
const TIMERS: u32 = 8;

impl Engine for ProgramEngine {
    fn name(&self) -> String {
        format!("{} ({})", self.ready.prog.name(), self.ready.prog.engine().name())
    }

    fn changes(&self) -> Changes {
        self.changes
    }

    #[inline]
    unsafe fn run_burst(&mut self, port: u16, pkts: &mut [Pkt]) {
        self.ctx.ingress_ifindex = u32::from(port) + 1;
        // SAFETY: a Pkt is a vm::Pkt; the caller vouches for the pointers of each, and the context is this worker's.
        unsafe { vm::xdp_run_burst(&mut *self.ctx, pkts.as_mut_ptr().cast(), pkts.len() as u32) };
    }

    fn round_over(&mut self) {
        self.worker.run_timers(TIMERS);
        self.worker.quiescent();
    }

    fn aborts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.session.env().aborts(None);
        AbortReason::ALL.iter().map(|r| (r.name(), counts[*r as usize])).filter(|(_, n)| *n != 0).collect()
    }

    fn maps(&self) -> Vec<MapContents> {
        let contents = |name: &String| {
            let map = self.session.find_map(name).ok()?;
            let entries = maps_json::dump(map, self.session.nr_cpus(), maps_json::Entries::All).ok()?;
            Some(MapContents { name: name.clone(), percpu: map.spec().kind.is_percpu(), entries })
        };
        self.shown.iter().filter_map(contents).collect()
    }
}

/// `prog.o:name` is a file and a program's name; a file that exists under the whole text is just that.
fn split_prog(prog: &OsStr) -> (&Path, Option<&str>) {
    let whole = Path::new(prog);
    match prog.to_str().and_then(|text| text.rsplit_once(':')) {
        Some((path, name)) if !whole.exists() => (Path::new(path), Some(name)),
        _ => (whole, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_names_follow_the_last_colon_of_a_path_that_is_no_file() {
        assert_eq!(split_prog(OsStr::new("a.o:main")), (Path::new("a.o"), Some("main")));
        assert_eq!(split_prog(OsStr::new("a.o")), (Path::new("a.o"), None));
    }
}
