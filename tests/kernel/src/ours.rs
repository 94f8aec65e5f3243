//! An object here: one engine over the packets.

use crate::compare::{Contents, Outcome};
use crate::judge::Input;
use anyhow::{Context, Result, anyhow};
use std::path::Path;
use uxdp_control::frames::Buffer;
use uxdp_control::maps_json::Target;
use uxdp_control::records::Reader;
use uxdp_control::session::{Ready, Session};
use uxdp_core::error::Errno;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{EngineChoice, Hook, Origin, Runner, Worker};

/// The loopback, whose number the kernel's context shows where none is given.
const LOOPBACK: u32 = 1;

/// A program on one engine.
pub(crate) struct Ours {
    pub(crate) name: &'static str,
    session: Session,
    hook: Arc<Hook>,
    worker: Worker,
    reader: Reader,
    names: Vec<String>,
    buffer: Buffer,
}

impl Ours {
    pub(crate) fn open(
        file: &Path,
        program: Option<&str>,
        maps: Option<&Path>,
        engine: EngineChoice,
    ) -> Result<Self> {
        let session = Session::open(file, maps, engine)?;
        let ready: Ready = session.program(session.choose(program)?)?;
        let name = ready.prog.engine().name();
        let hook = session.hook(&ready)?;
        let worker = Worker::register(session.env(), 0).map_err(|e| anyhow!("no worker: {e}"))?;
        let reader = Reader::open(&session, &session.map_names())?;
        let names = reader.names().map(str::to_owned).collect();
        Ok(Ours { name, session, hook, worker, reader, names, buffer: Buffer::new() })
    }

    pub(crate) fn program(&self, program: Option<&str>) -> Result<String> {
        let index = self.session.choose(program)?;
        Ok(self.session.program(index)?.prog.name().to_owned())
    }

    pub(crate) fn run(&mut self, input: &Input) -> Result<Outcome> {
        let ingress_ifindex = if input.ingress == 0 { LOOPBACK } else { input.ingress };
        let origin = Origin { ingress_ifindex, ..Origin::default() };
        let mut runner = Runner::new(&self.worker, &self.hook, origin)
            .map_err(|e| anyhow!("cannot run the program: {e}"))?;
        let mut frame = self.buffer.load(&input.packet);
        let code = runner.run(&mut frame);
        let mut outcome = Outcome {
            code,
            data: frame.data().to_vec(),
            metadata: frame.metadata().to_vec(),
            records: Vec::new(),
        };
        self.worker.quiescent();
        let (names, records) = (&self.names, &mut outcome.records);
        self.reader
            .take(&mut |map, record| records.push((names[map].clone(), record)))
            .map_err(|e| anyhow!("cannot read records: {e}"))?;
        Ok(outcome)
    }

    /// A map's contents, slot 0's of a per-CPU map.
    pub(crate) fn contents(&self, name: &str) -> Result<Contents> {
        let map = self.session.find_map(name)?;
        let (mut key, mut next) = (None::<Vec<u8>>, vec![0; map.spec().key_size as usize]);
        let mut value = vec![0; map.value_buffer_size()];
        let mut contents = Contents::new();
        loop {
            match map.next_key(key.as_deref(), &mut next) {
                Ok(()) => {}
                Err(Errno::ENOENT) => return Ok(contents),
                Err(e) => return Err(anyhow!("{e}")).with_context(|| format!("map \"{name}\"")),
            }
            if map.lookup_elem(&next, &mut value, 0).is_ok() {
                contents.insert(next.clone(), value[..map.spec().value_size as usize].to_vec());
            }
            key = Some(next.clone());
        }
    }
}
