//! The next version of the programs, made in a thread of its own while the running one goes on.
//!
//! What is asked for during a load is done after it, once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use uxdp_control::session::{Kept, SessionError};
use uxdp_core::vm::Env;

use super::objects::{Objects, Wanted};

type Loaded = Result<Objects, Box<SessionError>>;

pub(super) struct Reloader {
    wanted: Wanted,
    asked: Arc<AtomicBool>,
    loading: Option<JoinHandle<Loaded>>,
}

impl Reloader {
    /// Loads again what is wanted whenever `asked` is set.
    pub(super) fn new(wanted: Wanted, asked: Arc<AtomicBool>) -> Self {
        Self { wanted, asked, loading: None }
    }

    /// The next version, once it is made; it goes on with the maps of `running`. Never waits.
    pub(super) fn poll(
        &mut self,
        env: &uxdp_core::sync::Arc<Env>,
        running: &Objects,
    ) -> Option<Result<Objects, String>> {
        if let Some(thread) = self.loading.take_if(|thread| thread.is_finished()) {
            let loaded = thread.join().map_err(|_| "the thread that loads ended in a panic".to_owned());
            return Some(loaded.and_then(|loaded| loaded.map_err(|e| e.to_string())));
        }
        // Relaxed: the flag is all that the signal handler shares.
        if self.loading.is_none() && self.asked.swap(false, Ordering::Relaxed) {
            let (env, wanted, kept) = (env.clone(), self.wanted.clone(), running.keep());
            let of_file = move |file: &Path| {
                let same = kept.iter().find(|(name, _)| Path::new(name) == file);
                same.map_or_else(Kept::default, |(_, kept)| kept.clone())
            };
            let load = move || Objects::load(&env, &wanted, of_file);
            match std::thread::Builder::new().name("reload".into()).spawn(load) {
                Ok(thread) => self.loading = Some(thread),
                Err(e) => return Some(Err(format!("no thread to load in: {e}"))),
            }
        }
        None
    }
}
