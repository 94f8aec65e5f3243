//! XDP programs in the packet VM: loaded, proven and compiled before EAL starts, attached to RX queues, then run a burst at a time by the main lcore.

use std::sync::atomic::AtomicBool;

use dpdk_sys::{Changes, Offers, PortInfo};
use uxdp_control::maps_json;
use uxdp_control::session::{Kept, SessionError, environment, publish_network};
use uxdp_core::error::{Errno, Status};
use uxdp_core::maps::MapType;
use uxdp_core::mem;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{
    self, AbortReason, Ctx, EngineChoice, Env, Hook, Link, Missing, Needs, PacketUse, ProgOptions, Worker,
};

use super::objects::{Objects, Wanted};
use super::reload::Reloader;
use super::{AttachError, Engine, EntryRunner, Input, MapContents, Pkt, Renewed, network};
use crate::args::{Args, EngineKind};

/// The slot of the main lcore. Other lcores run programs of entries alone.
const SLOT: u32 = 0;

/// Callbacks of timers between two rounds of bursts, at most.
const TIMERS: u32 = 8;

/// An RX queue with its programs.
struct Place {
    ctx: Box<Ctx>,
    hook: Arc<Hook>,
    input: Input,
    takes_segments: bool,
}

// Fields are dropped in order: the contexts' users first, the maps last.
pub(super) struct ProgramEngine {
    places: Vec<Place>,
    entries: EntryRunner,
    worker: Worker,
    changes: Changes,
    shown: Vec<String>,
    objects: Objects,
    reloader: Reloader,
    env: Arc<Env>,
}

fn machine(error: Errno) -> Box<SessionError> {
    Box::new(SessionError::Machine { what: "cannot run a program".into(), error })
}

impl ProgramEngine {
    pub(super) fn load(args: &Args, reload: std::sync::Arc<AtomicBool>) -> Result<Self, Box<SessionError>> {
        let engine = match args.engine {
            EngineKind::Jit => EngineChoice::Best,
            EngineKind::Interp => EngineChoice::Interp,
        };
        let options = ProgOptions {
            engine,
            limit: args.run_limit.unwrap_or(0),
            limit_ns: args.run_time_limit.unwrap_or(0) * 1000,
            ..ProgOptions::default()
        };
        let (progs, list, contents) = (args.prog.clone(), args.progs.clone(), args.maps.clone());
        let wanted = Wanted { progs, list, contents, options };
        let env = environment()?;
        publish_network(&env)?;
        let objects = Objects::load(&env, &wanted, |_| Kept::default())?;
        for name in &args.map_dump {
            objects.find_map(name)?;
        }
        let worker = Worker::register(&env, SLOT).map_err(machine)?;
        let changes = changes(&objects);
        let entries = EntryRunner::new(&env, &worker).map_err(machine)?;
        let (places, shown) = (Vec::new(), args.map_dump.clone());
        Ok(Self {
            places,
            entries,
            worker,
            changes,
            shown,
            objects,
            reloader: Reloader::new(wanted, reload),
            env,
        })
    }

    /// Puts the next version in the place of the running one, at all queues between the same two bursts.
    fn take_over(&mut self, next: Objects) -> Result<Renewed, String> {
        let inputs: Vec<Input> = self.places.iter().map(|place| place.input.clone()).collect();
        let plan = |objects| plan(objects, &inputs).map_err(|e| e.to_string());
        let (before, after) = (plan(&self.objects)?, plan(&next)?);
        let (now, then) = (uses(&self.objects), uses(&next));
        if then.hash && !now.hash || then.vlan && !now.vlan || then.timestamp && !now.timestamp {
            return Err(
                "it asks for what the ports were not opened with: the NIC's hash, VLAN tags or times".into(),
            );
        }
        for (at, (place, links)) in self.places.iter().zip(after).enumerate() {
            if let Err(error) = place.hook.set_links(links) {
                let why = cannot_attach(&place.input, error).to_string();
                for (place, links) in self.places.iter().zip(before).take(at) {
                    let back = place.hook.set_links(links);
                    back.map_err(|e| format!("{why}; port {} keeps the new version: {e}", place.input.port))?;
                }
                return Err(why);
            }
        }
        self.places.iter_mut().for_each(|place| place.takes_segments = place.hook.takes_frags());
        self.changes = changes(&next);
        self.objects = next;
        Ok(Renewed { kept: self.objects.kept_names().into_iter().map(str::to_owned).collect() })
    }
}

/// The most that any of the programs may do.
fn changes(objects: &Objects) -> Changes {
    match objects.programs.iter().map(|p| p.ready.prog.packet_use()).max() {
        None | Some(PacketUse::Reads) => Changes::Nothing,
        Some(PacketUse::Writes) => Changes::Bytes,
        Some(PacketUse::Moves) => Changes::Bounds,
    }
}

/// What of the devices' offers the programs ask for.
fn uses(objects: &Objects) -> Offers {
    let needs = objects.programs.iter().fold(Needs::default(), |all, p| all.with(p.ready.prog.needs()));
    let has = |need| needs.contains(need);
    // Packets in several buffers are received where some program takes them; where another does not, they are refused.
    let scatter = objects.programs.iter().any(|p| p.ready.prog.program().code().frags);
    Offers {
        hash: has(Needs::RX_HASH),
        vlan: has(Needs::RX_VLAN_TAG),
        scatter,
        timestamp: has(Needs::RX_TIMESTAMP),
    }
}

/// The programs of each input, or what stands against them: all of it, so that one look is enough.
fn plan(objects: &Objects, inputs: &[Input]) -> Result<Vec<mem::Vec<Link>>, AttachError> {
    for spec in objects.programs.iter().map(|p| &p.spec) {
        if !inputs.iter().any(|i| spec.runs_at(i.port, i.queue)) {
            let places: Vec<_> =
                inputs.iter().map(|i| format!("port={},queue={} ({})", i.port, i.queue, i.name)).collect();
            let file = spec.file.display();
            return Err(AttachError::Place(format!(
                "--prog {file}: there is no such port or queue; there are {}",
                places.join(", ")
            )));
        }
    }
    let mut unfit = Vec::new();
    let mut plan = Vec::with_capacity(inputs.len());
    for Input { port, queue, name, offers } in inputs {
        let mut links =
            mem::Vec::with_capacity(objects.at(*port, *queue).count()).map_err(|e| machine(e.errno()))?;
        for placed in objects.at(*port, *queue) {
            let link = placed.link();
            let Missing { needs, mtu } = offers.missing(link.needs());
            let lacks = (!needs.is_empty()).then(|| {
                format!(
                    "port {port} ({name}) does not offer what program \"{}\" needs: {needs}",
                    link.prog.name()
                )
            });
            let sizes = mtu.map(|mtu| format!("port {port} ({name}): {mtu} (--data-room)"));
            for sentence in lacks.into_iter().chain(sizes) {
                if !unfit.contains(&sentence) {
                    unfit.push(sentence);
                }
            }
            links.push(link).map_err(|e| machine(e.errno()))?;
        }
        if links.is_empty() {
            return Err(AttachError::Place(format!(
                "port {port} ({name}), queue {queue}: no --prog is for it"
            )));
        }
        plan.push(links);
    }
    if unfit.is_empty() { Ok(plan) } else { Err(AttachError::Unfit(unfit)) }
}

impl Engine for ProgramEngine {
    fn name(&self) -> String {
        let name = |p: &super::objects::Placed| {
            format!("{} ({})", p.ready.prog.name(), p.ready.prog.engine().name())
        };
        self.objects.programs.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn changes(&self) -> Changes {
        self.changes
    }

    fn uses(&self) -> Offers {
        uses(&self.objects)
    }

    fn takes_segments(&self, input: usize) -> bool {
        self.places.get(input).is_some_and(|place| place.takes_segments)
    }

    fn renew(&mut self) -> Option<Result<Renewed, String>> {
        let next = self.reloader.poll(&self.env, &self.objects)?;
        Some(next.and_then(|next| self.take_over(next)))
    }

    fn connect(&mut self, args: &Args, ports: &[PortInfo], complain: fn(&str)) -> Result<(), AttachError> {
        for map in self.objects.maps().filter(|map| map.spec().kind == MapType::Xskmap) {
            complain(&format!(
                "map {} is for AF_XDP sockets, and there are none here: what is redirected to it is dropped and counted",
                map.name()
            ));
        }
        network::publish(&self.env, args, ports, complain)
    }

    fn entries(&mut self) -> Option<&mut EntryRunner> {
        Some(&mut self.entries)
    }

    fn lcores(&self) -> Option<Arc<Env>> {
        self.objects.maps().any(|map| map.spec().kind == MapType::Cpumap).then(|| self.env.clone())
    }

    fn attach(&mut self, inputs: &[Input]) -> Result<(), AttachError> {
        let plan = plan(&self.objects, inputs)?;
        for (input, links) in inputs.iter().zip(plan) {
            let hook = Hook::create_at(&self.env, input.offers).map_err(machine)?;
            hook.set_links(links).map_err(|error| cannot_attach(input, error))?;
            let mut ctx = Box::new(Ctx::empty());
            // SAFETY: the box is writable; worker and hook live as long as the context, in this struct, which stays on one thread.
            unsafe { vm::ctx_init(&mut *ctx, &self.worker, &hook) }.map_err(machine)?;
            ctx.ingress_ifindex = u32::from(input.port) + 1;
            ctx.rx_queue_index = u32::from(input.queue);
            let takes_segments = hook.takes_frags();
            self.places.push(Place { ctx, hook, input: input.clone(), takes_segments });
        }
        Ok(())
    }

    #[inline]
    unsafe fn run_burst(&mut self, input: usize, pkts: &mut [Pkt]) {
        let Some(place) = self.places.get_mut(input) else { return };
        // SAFETY: a Pkt is a vm::Pkt; the caller vouches for the pointers of each, and the context is this worker's.
        unsafe { vm::xdp_run_burst(&mut *place.ctx, pkts.as_mut_ptr().cast(), pkts.len() as u32) };
    }

    fn round_over(&mut self) {
        self.worker.run_timers(TIMERS);
        self.worker.quiescent();
    }

    fn aborts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.env.aborts(None);
        AbortReason::ALL.iter().map(|r| (r.name(), counts[*r as usize])).filter(|(_, n)| *n != 0).collect()
    }

    fn maps(&self) -> Vec<MapContents> {
        let contents = |name: &String| {
            let map = self.objects.find_map(name).ok()?;
            let nr_cpus = self.env.nr_cpus() as usize;
            let entries = maps_json::dump(map, nr_cpus, maps_json::Entries::All).ok()?;
            Some(MapContents { name: name.clone(), percpu: map.spec().kind.is_percpu(), entries })
        };
        self.shown.iter().filter_map(contents).collect()
    }
}

/// Why a hook did not take programs that fit its port.
fn cannot_attach(input: &Input, error: Errno) -> AttachError {
    let Input { port, queue, .. } = input;
    match error {
        Errno::EINVAL => AttachError::Place(format!(
            "port {port}, queue {queue}: a program for entries of a device or CPU map cannot run alone"
        )),
        e => AttachError::Engine(machine(e)),
    }
}
