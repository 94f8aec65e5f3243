//! From an object's parts to things of an environment: maps made from their specs, programs given an engine. What fails leaves nothing behind.

use super::{Counting, Engine, EngineChoice, Env, Prog, unfit};
use crate::error::{Errno, Status};
use crate::maps::{Map, MapSpec};
use crate::mem::Vec;
use crate::platform::MapMemory;
use crate::program::{Program, Verified};
use crate::sync::Arc;

/// One map that an object asks for.
#[derive(Clone, Copy)]
pub struct MapDef<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is to be.
    pub spec: MapSpec,
    /// A map that takes its place, checked by whoever gives it.
    pub reuse: Option<&'a Arc<Map>>,
}

/// The maps of an object, in the order of its list: made, or those that take their place.
///
/// # Errors
/// The first map's that cannot be made: its index and status. All others are freed again.
pub fn create_maps(
    env: &Env,
    defs: &[MapDef<'_>],
    memory: Option<&'static dyn MapMemory>,
) -> Result<Vec<Arc<Map>>, (usize, Errno)> {
    let mut maps = Vec::with_capacity(defs.len()).map_err(|e| (0, e.errno()))?;
    for (index, def) in defs.iter().enumerate() {
        let made = match def.reuse {
            Some(map) => Ok(map.clone()),
            None => env.new_map_id().and_then(|id| {
                let config = env.map_config(memory);
                let spec = def.spec.fitted(config.nr_cpus, config.page_size);
                let map = Map::create(def.name, id, &spec, &config).map_err(|e| e.errno())?;
                env.add_timers(&map)?;
                Ok(map)
            }),
        };
        maps.push(made.map_err(|e| (index, e))?).map_err(|e| (index, e.errno()))?;
    }
    Ok(maps)
}

/// A verified program as one that can run.
///
/// # Errors
/// Where it does not fit the environment ([`unfit`] says why): EOPNOTSUPP or EINVAL. EOPNOTSUPP where the engine cannot be had; ENOMEM.
pub fn install(
    env: &Arc<Env>,
    program: Program<Verified>,
    options: impl Into<ProgOptions>,
) -> Result<Arc<Prog>, Errno> {
    let options: ProgOptions = options.into();
    if let Some(why) = unfit(env, &program, &options) {
        return Err(why.errno());
    }
    let ProgOptions { engine, counting, limit, limit_ns } = options;
    let mut program = program;
    if limit != 0 || limit_ns != 0 {
        super::limit::set(&mut program, limit, limit_ns)?;
    }
    let engine = Engine::select(env, &program, engine)?;
    let code = program.code();
    // Kernel: at this point, too, and where the load fails later on the map keeps its kind.
    if !program.maps().iter().all(|map| map.admit_user(code.attach, code.frags)) {
        return Err(Errno::EINVAL);
    }
    Prog::new(env, program, engine, counting)
}

/// How a verified program is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgOptions {
    /// What runs it.
    pub engine: EngineChoice,
    /// What is counted of its runs.
    pub counting: Counting,
    /// Instructions that a run may take before it is aborted, counted where it could go on and on: entering a function costs its length, a jump back the slots from its
    /// target. 0: no limit.
    pub limit: u64,
    /// Nanoseconds that a run may take before it is aborted. The clock is read every 4,096 instructions that count, and the time begins with the first reading; what a helper
    /// takes is seen when it is over. 0: no limit.
    pub limit_ns: u64,
}

impl From<EngineChoice> for ProgOptions {
    fn from(engine: EngineChoice) -> Self {
        ProgOptions { engine, ..ProgOptions::default() }
    }
}
