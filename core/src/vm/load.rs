//! From an object's parts to things of an environment: maps made from their specs, programs given an engine. What fails leaves nothing behind.

use super::{Counting, Engine, EngineChoice, Env, Prog};
use crate::error::{Errno, Status};
use crate::host::MissingService;
use crate::maps::{Map, MapSpec};
use crate::mem::Vec;
use crate::platform::MapMemory;
use crate::program::{Program, Rewrite, Verified};
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
/// EOPNOTSUPP where the host does not provide what it wants ([`missing_service`] says what), or the engine cannot be had; EINVAL where the program was verified for
/// fewer CPUs than the environment has; ENOMEM.
pub fn install(
    env: &Arc<Env>,
    program: Program<Verified>,
    options: impl Into<ProgOptions>,
) -> Result<Arc<Prog>, Errno> {
    if missing_service(env, &program).is_some() {
        return Err(Errno::EOPNOTSUPP);
    }
    let ProgOptions { engine, counting, limit } = options.into();
    let mut program = program;
    if limit != 0 {
        super::limit::set(&mut program, env.helpers(), limit)?;
    }
    if program.nr_cpus() != 0 && program.nr_cpus() < env.nr_cpus() {
        return Err(Errno::EINVAL);
    }
    let engine = Engine::select(env, &program, engine)?;
    Prog::new(env, program, engine, counting)
}

/// The first service of the host that a program wants and the environment does not have.
pub fn missing_service(env: &Env, program: &Program<Verified>) -> Option<MissingService> {
    program.rewrites().insns.iter().find_map(|rewrite| {
        let Rewrite::CallHelper { row, .. } = *rewrite else { return None };
        let helper = env.helpers().get(row)?;
        MissingService::of(helper.name, helper.id, |service| env.provides(service))
    })
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
}

impl From<EngineChoice> for ProgOptions {
    fn from(engine: EngineChoice) -> Self {
        ProgOptions { engine, ..ProgOptions::default() }
    }
}
