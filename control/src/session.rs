//! One object, made ready to run: its maps with their contents, and its programs verified and given an engine as they are needed.
//!
//! Only programs that run are proven: those that are asked for, and those that maps get from the object itself or from a file of map contents. The
//! first refusal ends it, with the kernel's reason.

mod error;
mod maps;
mod network;

pub use error::SessionError;
pub use maps::{Kept, make_maps};
pub use network::publish_network;

use crate::maps_json::{MapsFile, Target};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use uxdp_core::error::{Errno, Status};
use uxdp_core::maps::{Map, MapSpec};
use uxdp_core::object::{FindError, Object, OpenOptions, SlotInit};
use uxdp_core::program::{Loaded, Program};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{Env, EnvOptions, Hook, Prog, ProgOptions, install, unfit};

/// A program that can run, and what making it cost.
#[derive(Clone)]
pub struct Ready {
    /// The program.
    pub prog: Arc<Prog>,
    /// Time to verify it.
    pub verify: Duration,
    /// Time to compile it.
    pub compile: Duration,
}

/// An object with its maps, in an environment of its own.
pub struct Session {
    file: String,
    object: Object,
    env: Arc<Env>,
    maps: Vec<Arc<Map>>,
    options: ProgOptions,
    /// Maps that were there before, with what they hold.
    kept: Kept,
    ready: RefCell<BTreeMap<usize, Ready>>,
    /// Why a program that a program array wanted could not be had.
    refusal: RefCell<Option<SessionError>>,
}

/// Reads an object file.
///
/// # Errors
/// A file that cannot be read, or that is no object.
pub fn open_object(path: &Path) -> Result<Object, SessionError> {
    open_object_against(path, None)
}

/// As [`open_object`], with CO-RE relocations resolved against the types of another file: raw BTF, or an ELF file with it.
///
/// # Errors
/// As above, for either file.
pub fn open_object_against(path: &Path, btf: Option<&Path>) -> Result<Object, SessionError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SessionError::Unreadable { path: path.to_owned(), source })
    };
    let bytes = read(path)?;
    let btf = btf.map(read).transpose()?;
    let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    Object::open(&bytes, &OpenOptions { name: &name, btf: btf.as_deref() })
        .map_err(|error| SessionError::Object { file: path.display().to_string(), error: Box::new(error) })
}

/// The index of the program that is meant: the one named, or the only one.
///
/// # Errors
/// A sentence with the candidates.
pub fn choose(object: &Object, name: Option<&str>, file: &str) -> Result<usize, SessionError> {
    let list = || match object.programs() {
        [] => "none".to_owned(),
        programs => programs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    let wrong = |text| Err(SessionError::Choice(text));
    match name {
        Some(name) => match object.find_program(name) {
            Ok(index) => Ok(index),
            Err(FindError::NotFound) => {
                wrong(format!("{file} has no program \"{name}\"; it has: {}", list()))
            }
            Err(FindError::Ambiguous) => {
                wrong(format!("section \"{name}\" of {file} has several programs; choose one: {}", list()))
            }
        },
        None => match object.programs() {
            [] => wrong(format!("{file} has no program; put it into a section: SEC(\"xdp\")")),
            [_] => Ok(0),
            _ => wrong(format!("{file} has several programs; choose one: {}", list())),
        },
    }
}

/// A program of an object, linked.
///
/// # Errors
/// What does not fit together, with section and offset.
pub fn link(object: &Object, index: usize, file: &str) -> Result<Program<Loaded>, SessionError> {
    object.link(index).map_err(|error| SessionError::Object { file: file.to_owned(), error: Box::new(error) })
}

/// Writes a file of map contents.
///
/// # Errors
/// A file that cannot be read, or the first entry that is refused.
pub fn apply_contents(path: &Path, target: &dyn Target, nr_cpus: usize) -> Result<(), SessionError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SessionError::Unreadable { path: path.to_owned(), source })?;
    let done = MapsFile::parse(&text).and_then(|f| f.apply(target, nr_cpus));
    done.map_err(|error| SessionError::Contents { path: path.to_owned(), error: Box::new(error) })
}

/// An environment of this process.
///
/// # Errors
/// Where memory is short.
pub fn environment() -> Result<Arc<Env>, SessionError> {
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions::default())
        .map_err(|error| SessionError::Machine { what: "cannot make an environment".into(), error })
}

impl Session {
    /// Opens an object in an environment of its own and makes its maps, with their static contents and those of a file.
    ///
    /// # Errors
    /// Whatever is refused first.
    pub fn open(
        file: &Path,
        contents: Option<&Path>,
        options: impl Into<ProgOptions>,
    ) -> Result<Self, SessionError> {
        let env = environment()?;
        publish_network(&env)?;
        let session = Self::open_in(&env, file, options, Kept::default())?;
        if let Some(path) = contents {
            session.fill(path)?;
        }
        Ok(session)
    }

    /// Opens an object beside others. Kept maps of the same name and shape stand in the place of new ones, with what they hold; the others get their static contents.
    ///
    /// # Errors
    /// Whatever is refused first; what was kept is as before then.
    pub fn open_in(
        env: &Arc<Env>,
        file: &Path,
        options: impl Into<ProgOptions>,
        kept: Kept,
    ) -> Result<Self, SessionError> {
        let object = open_object(file)?;
        let file = file.display().to_string();
        let maps = maps::make_maps_keeping(env, &object, &file, &kept)?;
        let (ready, refusal) = (RefCell::default(), RefCell::default());
        let (env, options) = (env.clone(), options.into());
        let session = Session { file, object, env, maps, options, kept, ready, refusal };
        session.fill_slots()?;
        Ok(session)
    }

    /// The object's file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its maps, for the next version of the object.
    pub fn keep(&self) -> Kept {
        Kept::of(&self.object, &self.maps)
    }

    /// Its maps.
    pub fn maps(&self) -> &[Arc<Map>] {
        &self.maps
    }

    /// The names of those maps that were there before.
    pub fn kept_names(&self) -> impl Iterator<Item = &str> {
        self.maps.iter().filter(|m| self.kept.has(m)).map(|m| m.name())
    }

    /// Puts programs into program arrays where the object itself says so.
    fn fill_slots(&self) -> Result<(), SessionError> {
        for (def, map) in self.object.maps().iter().zip(&self.maps) {
            for &(index, slot) in def.slots.iter() {
                if let SlotInit::Program(program) = slot {
                    let ready = self.program(program as usize)?;
                    self.env.set_prog(map, index, Some(&ready.prog)).map_err(|error| SessionError::Map {
                        file: self.file.clone(),
                        map: def.name.as_str().to_owned(),
                        error,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn fill(&self, path: &Path) -> Result<(), SessionError> {
        apply_contents(path, self, self.nr_cpus()).map_err(|e| self.take_refusal().unwrap_or(e))
    }

    /// The program that map contents name, ready to run; why not is kept for [`Session::take_refusal`].
    fn named_program(&self, name: &str) -> Result<Ready, Errno> {
        let found = self.object.find_program(name).map_err(|_| Errno::ENOENT)?;
        self.program(found).map_err(|e| {
            *self.refusal.borrow_mut() = Some(e);
            Errno::EACCES
        })
    }

    /// Why a program that map contents name could not be had, where it was that.
    pub fn take_refusal(&self) -> Option<SessionError> {
        self.refusal.take()
    }

    /// The index of the program that is meant: the one named, or the only one.
    ///
    /// # Errors
    /// A sentence with the candidates.
    pub fn choose(&self, name: Option<&str>) -> Result<usize, SessionError> {
        choose(&self.object, name, &self.file)
    }

    /// A program of the object, linked.
    ///
    /// # Errors
    /// What does not fit together, with section and offset.
    pub fn link(&self, index: usize) -> Result<Program<Loaded>, SessionError> {
        link(&self.object, index, &self.file)
    }

    /// A program of the object, proven and with its engine.
    ///
    /// # Errors
    /// The verifier's refusal among them.
    pub fn program(&self, index: usize) -> Result<Ready, SessionError> {
        if let Some(ready) = self.ready.borrow().get(&index) {
            return Ok(ready.clone());
        }
        let linked = self.link(index)?;
        let name = linked.name().to_owned();
        let machine = |error: Errno| SessionError::Machine {
            what: format!("{}, program \"{name}\"", self.file),
            error,
        };
        let start = Instant::now();
        let maps = uxdp_core::mem::Vec::from_fn(self.maps.len(), |i| self.maps[i].clone())
            .map_err(|e| machine(e.errno()))?;
        let mut log = String::new();
        let options = VerifyOptions { nr_cpus: self.env.nr_cpus(), ..VerifyOptions::default() };
        let verified =
            verifier::verify(linked, maps, self.env.helpers(), &options, &mut log).map_err(|rejection| {
                SessionError::Refused {
                    file: self.file.clone(),
                    program: name.clone(),
                    rejection: Box::new(rejection),
                }
            })?;
        let verify = start.elapsed();
        if let Some(why) = unfit(&self.env, &verified, &self.options) {
            let file = &self.file;
            return Err(SessionError::Service(format!("{file}, program \"{name}\" cannot run here: {why}")));
        }
        let start = Instant::now();
        let prog = install(&self.env, verified, self.options).map_err(machine)?;
        let ready = Ready { prog, verify, compile: start.elapsed() };
        self.ready.borrow_mut().insert(index, ready.clone());
        Ok(ready)
    }

    /// A hook with one program of the object.
    ///
    /// # Errors
    /// A program for an entry of a device or CPU map, which cannot run alone; or memory is short.
    pub fn hook(&self, ready: &Ready) -> Result<Arc<Hook>, SessionError> {
        let fail = |error: Errno| SessionError::Machine {
            what: format!("cannot attach program \"{}\"", ready.prog.name()),
            error,
        };
        let hook = Hook::create(&self.env).map_err(fail)?;
        hook.set(std::slice::from_ref(&ready.prog)).map_err(|e| match e {
            Errno::EINVAL => SessionError::Choice(format!(
                "program \"{}\" is for entries of a device or CPU map and cannot run alone",
                ready.prog.name()
            )),
            e => fail(e),
        })?;
        Ok(hook)
    }

    /// The environment of its maps and programs.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// The object as it was opened.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Slots of per-CPU maps.
    pub fn nr_cpus(&self) -> usize {
        self.env.nr_cpus() as usize
    }

    /// A map of the object.
    ///
    /// # Errors
    /// A sentence with the names that there are.
    pub fn find_map(&self, name: &str) -> Result<&Arc<Map>, SessionError> {
        self.object.find_map(name).and_then(|i| self.maps.get(i)).ok_or_else(|| {
            let has = match self.map_names() {
                names if names.is_empty() => "none".to_owned(),
                names => names.join(", "),
            };
            SessionError::Choice(format!("{} has no map \"{name}\"; it has: {has}", self.file))
        })
    }
}

impl Target for Session {
    fn spec(&self, map: &str) -> Option<MapSpec> {
        self.find_map(map).ok().map(|m| *m.spec())
    }

    fn map_names(&self) -> Vec<String> {
        self.object.maps().iter().map(|m| m.name.as_str().to_owned()).collect()
    }

    fn set_prog(&self, map: &str, index: u32, program: &str) -> Result<(), Errno> {
        let map = self.find_map(map).map_err(|_| Errno::ENOENT)?;
        self.env.set_prog(map, index, Some(&self.named_program(program)?.prog))
    }

    fn set_target(&self, map: &str, key: &[u8], value: &[u8], program: &str) -> Result<(), Errno> {
        let map = self.find_map(map).map_err(|_| Errno::ENOENT)?;
        let program = self.named_program(program)?;
        // What was kept stays as it is.
        if self.kept.has(map) { Ok(()) } else { self.env.set_target(map, key, value, Some(&program.prog), 0) }
    }

    fn update(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        let map = self.find_map(map).map_err(|_| Errno::ENOENT)?;
        // What was kept stays as it is.
        if self.kept.has(map) { Ok(()) } else { self.env.update_elem(map, key, value, 0) }
    }
}
