//! One version of the programs: the object files that the command line names, each opened once, and their programs in the order in which they run.
//!
//! All are in one environment, which outlives the version. Map contents go to the first object that has a map of that name.

use std::path::Path;

use uxdp_control::maps_json::Target;
use uxdp_control::session::{Kept, Ready, Session, SessionError, apply_contents};
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapSpec};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, Link, ProgOptions};

use crate::prog_spec::ProgSpec;

/// What versions of the programs are made from.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) progs: Vec<ProgSpec>,
    /// A file with more, read for each version.
    pub(super) list: Option<std::path::PathBuf>,
    pub(super) contents: Option<std::path::PathBuf>,
    pub(super) options: ProgOptions,
}

impl Wanted {
    /// The programs, those of the list as it is now behind those of the command line.
    fn specs(&self) -> Result<Vec<ProgSpec>, SessionError> {
        let mut specs = self.progs.clone();
        let Some(list) = &self.list else { return Ok(specs) };
        let wrong = |what: String| SessionError::Choice(format!("{}{what}", list.display()));
        let text = std::fs::read_to_string(list).map_err(|e| wrong(format!(": {e}")))?;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                specs.push(line.parse().map_err(|e| wrong(format!(":{number}: {e}")))?);
            }
        }
        if specs.is_empty() { Err(wrong(" names no program".into())) } else { Ok(specs) }
    }
}

/// A program and where it runs.
pub(super) struct Placed {
    pub(super) spec: ProgSpec,
    pub(super) ready: Ready,
    priority: u32,
    chain_call_actions: u32,
}

pub(super) struct Objects {
    /// In the order in which they run.
    pub(super) programs: Vec<Placed>,
    sessions: Vec<Session>,
}

impl Objects {
    /// Opens the objects, proves and compiles the programs, and fills the maps that are new.
    ///
    /// # Errors
    /// Whatever is refused first; kept maps are as before then.
    pub(super) fn load(
        env: &Arc<Env>,
        wanted: &Wanted,
        kept: impl Fn(&Path) -> Kept,
    ) -> Result<Self, Box<SessionError>> {
        let specs = wanted.specs()?;
        let mut sessions: Vec<Session> = Vec::new();
        let mut files: Vec<&Path> = Vec::new();
        for spec in &specs {
            if !files.contains(&spec.file.as_path()) {
                sessions.push(Session::open_in(env, &spec.file, wanted.options, kept(&spec.file))?);
                files.push(&spec.file);
            }
        }
        let mut objects = Self { programs: Vec::new(), sessions };
        if let Some(path) = &wanted.contents {
            apply_contents(path, &objects, env.nr_cpus() as usize)
                .map_err(|e| objects.sessions.iter().find_map(Session::take_refusal).unwrap_or(e))?;
        }
        for spec in &specs {
            let of_file = files.iter().position(|file| *file == spec.file);
            let Some(session) = of_file.and_then(|at| objects.sessions.get(at)) else { continue };
            let ready = session.program(session.choose(spec.name.as_deref())?)?;
            let run = ready.prog.program().code().run;
            objects.programs.push(Placed {
                spec: spec.clone(),
                ready,
                priority: spec.priority.unwrap_or(run.priority),
                chain_call_actions: spec.chain.unwrap_or(run.chain_call_actions),
            });
        }
        // Stable: of one priority, the order in which they are named.
        objects.programs.sort_by_key(|placed| placed.priority);
        Ok(objects)
    }

    /// The programs for packets of a queue.
    pub(super) fn at(&self, port: u16, queue: u16) -> impl Iterator<Item = &Placed> {
        self.programs.iter().filter(move |placed| placed.spec.runs_at(port, queue))
    }

    /// The maps of a file's object, for the next version.
    pub(super) fn keep(&self) -> Vec<(String, Kept)> {
        self.sessions.iter().map(|s| (s.file().to_owned(), s.keep())).collect()
    }

    /// All maps.
    pub(super) fn maps(&self) -> impl Iterator<Item = &Arc<Map>> {
        self.sessions.iter().flat_map(Session::maps)
    }

    /// The names of maps that were kept from the version before.
    pub(super) fn kept_names(&self) -> Vec<&str> {
        self.sessions.iter().flat_map(Session::kept_names).collect()
    }

    /// The map of that name.
    ///
    /// # Errors
    /// A sentence with the names that there are.
    pub(super) fn find_map(&self, name: &str) -> Result<&Arc<Map>, SessionError> {
        let mut missing = Err(SessionError::Choice(format!("there is no map \"{name}\"")));
        for session in &self.sessions {
            missing = session.find_map(name);
            if missing.is_ok() {
                break;
            }
        }
        missing
    }

    fn owner(&self, map: &str) -> Option<&Session> {
        self.sessions.iter().find(|s| s.find_map(map).is_ok())
    }
}

impl Placed {
    /// What a hook takes.
    pub(super) fn link(&self) -> Link {
        Link { prog: self.ready.prog.clone(), chain_call_actions: self.chain_call_actions }
    }
}

impl Target for Objects {
    fn spec(&self, map: &str) -> Option<MapSpec> {
        self.owner(map)?.spec(map)
    }

    fn map_names(&self) -> Vec<String> {
        self.sessions.iter().flat_map(Target::map_names).collect()
    }

    fn set_prog(&self, map: &str, index: u32, program: &str) -> Result<(), Errno> {
        self.owner(map).ok_or(Errno::ENOENT)?.set_prog(map, index, program)
    }

    fn set_target(&self, map: &str, key: &[u8], value: &[u8], program: &str) -> Result<(), Errno> {
        self.owner(map).ok_or(Errno::ENOENT)?.set_target(map, key, value, program)
    }

    fn update(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.owner(map).ok_or(Errno::ENOENT)?.update(map, key, value)
    }
}
