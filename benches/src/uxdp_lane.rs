//! uxdp's compiled code, called as a host calls it.

use crate::Files;
use crate::lane::{Lane, Packets};
use anyhow::{Result, ensure};
use uxdp_control::session::Session;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Action, EngineChoice, Frame, Hook, Link, Origin, Runner, Worker};

pub(crate) struct Uxdp {
    worker: Worker,
    hook: Arc<Hook>,
    packets: Packets,
}

impl Uxdp {
    pub(crate) fn new(files: &Files) -> Result<Self> {
        let session = Session::open(&files.object, files.maps.as_deref(), EngineChoice::Best)?;
        let ready = session.program(session.choose(None)?)?;
        ensure!(ready.prog.engine().name() == "jit", "this machine compiles no programs");
        let hook = session.hook(&ready)?;
        Ok(Uxdp { worker: Worker::register(session.env(), 0)?, hook, packets: Packets::new() })
    }

    /// The program that many times at one hook, each after the other's action `next`, in the environment of `session`.
    pub(crate) fn chain(session: &Session, slot: u32, programs: usize, next: Action) -> Result<Self> {
        let ready = session.program(session.choose(None)?)?;
        let hook = Hook::create(session.env())?;
        let link = Link { prog: ready.prog, chain_call_actions: 1 << next as u32 };
        hook.set_links(uxdp_core::mem::Vec::from_fn(programs, |_| link.clone())?)?;
        Ok(Uxdp { worker: Worker::register(session.env(), slot)?, hook, packets: Packets::new() })
    }
}

impl Lane for Uxdp {
    fn run(&mut self, passes: usize) -> u64 {
        let Ok(mut runner) = Runner::new(&self.worker, &self.hook, Origin::default()) else { return 0 };
        let mut frames: Vec<Frame<'_>> =
            self.packets.buffers().filter_map(|(b, data)| Frame::new(b, data).ok()).collect();
        let mut sum = 0;
        for _ in 0..passes {
            for frame in &mut frames {
                sum += u64::from(runner.run(frame));
            }
        }
        sum
    }
}
