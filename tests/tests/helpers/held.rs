//! What a run holds of the host's when a limit ends it goes back: sockets, connections, new ones, wherever that is.

use crate::row::{Packet, row};
use crate::{ENGINES, ours};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering};
use uxdp_core::error::Errno;
use uxdp_core::host::{CtQuery, Host, Object, Service, SocketQuery, Tracked};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{AbortReason, Env, EnvOptions, Hook, ProgOptions, Worker};

/// A host with one socket and one connection, which counts how often each is held.
#[derive(Default)]
struct Counts {
    sockets: AtomicI64,
    connections: AtomicI64,
    given: AtomicI64,
}

impl Counts {
    fn give(&self, of: &AtomicI64) -> Object {
        of.fetch_add(1, Ordering::Relaxed);
        self.given.fetch_add(1, Ordering::Relaxed);
        NonNull::from(of).cast()
    }
}

fn take(object: Object, of: &AtomicI64) {
    assert_eq!(object, NonNull::from(of).cast(), "of its kind");
    assert!(of.fetch_sub(1, Ordering::Relaxed) > 0, "given back more than taken");
}

impl Host for Counts {
    fn provides(&self, _: Service) -> bool {
        true
    }

    fn sk_lookup(&self, _: &SocketQuery<'_>) -> Option<Object> {
        Some(self.give(&self.sockets))
    }

    fn sk_release(&self, socket: Object) {
        take(socket, &self.sockets);
    }

    fn ct_alloc(&self, _: &CtQuery<'_>) -> Result<Object, Errno> {
        Ok(self.give(&self.connections))
    }

    fn ct_lookup(&self, _: &CtQuery<'_>) -> Result<Tracked, Errno> {
        Ok(Tracked { object: self.give(&self.connections), direction: 0 })
    }

    fn ct_insert(&self, new: Object) -> Option<Object> {
        Some(new)
    }

    fn ct_release(&self, tracked: Object) {
        take(tracked, &self.connections);
    }
}

thread_local! {
    static HOST: Cell<Option<&'static Counts>> = const { Cell::new(None) };
}

pub(crate) fn env() -> Arc<Env> {
    let host: &'static Counts = Box::leak(Box::default());
    HOST.set(Some(host));
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions { host: Some(host), ..EnvOptions::default() }).unwrap()
}

#[test]
fn objects_of_a_run_that_a_limit_ends_go_back() {
    let row = row("held", "held").env(env);
    // How many objects the run got up to each place.
    const GOT: [i64; 11] = [5, 1, 2, 3, 3, 3, 4, 4, 4, 5, 5];
    for engine in ENGINES {
        for options in [(100_000, 0), (0, 1), (u64::MAX, 1)] {
            let options = ProgOptions { limit: options.0, limit_ns: options.1, ..ProgOptions::from(engine) };
            let loaded = ours::load(&row, options).unwrap();
            let host = HOST.get().unwrap();
            let hook = Hook::create(&loaded.env).unwrap();
            hook.set(std::slice::from_ref(&loaded.prog)).unwrap();
            let worker = Worker::register(&loaded.env, ours::SLOT).unwrap();
            let reason = if options.limit_ns == 0 { AbortReason::Limit } else { AbortReason::Time };
            for (place, got) in GOT.iter().enumerate() {
                for (turns, ended) in [(10u32, false), (1_000_000, place != 0)] {
                    let before = loaded.prog.stats().sum(None).aborts[reason as usize];
                    host.given.store(0, Ordering::Relaxed);
                    let mut bytes = vec![place as u8];
                    bytes.extend(turns.to_le_bytes());
                    bytes.resize(64, 0);
                    let left = ours::run_packet(&worker, &hook, &Packet::new(bytes));
                    let held = [&host.sockets, &host.connections].map(|n| n.load(Ordering::Relaxed));
                    assert_eq!(held, [0, 0], "{engine:?}, place {place}, {turns} turns");
                    let aborts = loaded.prog.stats().sum(None).aborts[reason as usize] - before;
                    assert_eq!((left.action, aborts), if ended { (0, 1) } else { (2, 0) });
                    let expected = if ended { *got } else { GOT[0] };
                    assert_eq!(host.given.load(Ordering::Relaxed), expected, "{engine:?}, place {place}");
                }
            }
        }
    }
}
