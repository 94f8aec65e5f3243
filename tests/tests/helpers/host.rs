//! A host for the table's programs: a listener, a UDP socket, and a connection table, with counts of what is held.

use crate::counting::uncounted;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use uxdp_core::error::Errno;
use uxdp_core::host::{CtQuery, Host, Object, Service, SocketKind, SocketQuery, Tracked};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, EnvOptions};

/// One connection.
#[derive(Default)]
struct Connection {
    tuple: Vec<u8>,
    timeout: AtomicU32,
    status: AtomicU32,
    references: AtomicU32,
}

#[derive(Default)]
struct Tables {
    listener: AtomicU32,
    udp: AtomicU32,
    /// No listener.
    connected: AtomicU32,
    /// A listener that owes no cookies.
    idle: AtomicU32,
    connections: Mutex<HashMap<Vec<u8>, &'static Connection>>,
}

impl Tables {
    fn socket(&self, port: u16, kind: SocketKind) -> Option<&AtomicU32> {
        match (port, kind) {
            (80, SocketKind::Tcp | SocketKind::TcpAnyState) => Some(&self.listener),
            (53, SocketKind::Udp) => Some(&self.udp),
            (82, SocketKind::TcpAnyState) => Some(&self.connected),
            (83, SocketKind::TcpAnyState) => Some(&self.idle),
            _ => None,
        }
    }

    /// Whether a socket has to do with cookies.
    fn listens(&self, socket: Object) -> Result<(), Errno> {
        match socket {
            s if s == object(&self.listener) => Ok(()),
            s if s == object(&self.idle) => Err(Errno::ENOENT),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// A status and a timeout that no connection takes.
const NO_STATUS: u32 = 16;
const NO_TIMEOUT: u32 = 1;

fn status(given: u32) -> Result<u32, Errno> {
    if given == NO_STATUS { Err(Errno::EBUSY) } else { Ok(given) }
}

/// The port that is asked for.
fn port(tuple: &[u8]) -> u16 {
    let [.., high, low] = tuple else { return 0 };
    u16::from_be_bytes([*high, *low])
}

fn object<T>(of: &T) -> Object {
    std::ptr::NonNull::from(of).cast()
}

fn connection(object: Object) -> &'static Connection {
    // SAFETY: connections are never freed, and no other objects go where these are taken: the verifier tells them apart.
    unsafe { object.cast::<Connection>().as_ref() }
}

impl Host for Tables {
    fn provides(&self, _: Service) -> bool {
        true
    }

    fn sk_lookup(&self, query: &SocketQuery<'_>) -> Option<Object> {
        if query.netns != -1 {
            return None;
        }
        let socket = self.socket(port(query.tuple), query.kind)?;
        socket.fetch_add(1, Ordering::Relaxed);
        Some(object(socket))
    }

    fn sk_release(&self, socket: Object) {
        let known = [&self.listener, &self.udp, &self.connected, &self.idle];
        let known = known.into_iter().find(|s| object(*s) == socket).unwrap();
        assert!(known.fetch_sub(1, Ordering::Relaxed) > 0, "given back more than taken");
    }

    fn tcp_gen_syncookie(&self, socket: Object, _: &[u8], tcp: &[u8]) -> Result<(u32, u16), Errno> {
        self.listens(socket)?;
        let mss = match tcp.get(20..24) {
            Some(&[2, 4, high, low]) => u16::from_be_bytes([high, low]),
            _ => 1460,
        };
        Ok((77, mss))
    }

    fn tcp_check_syncookie(&self, socket: Object, _: &[u8], tcp: &[u8]) -> Result<(), Errno> {
        self.listens(socket)?;
        let acked = u32::from_be_bytes(tcp[8..12].try_into().unwrap());
        if acked == 78 { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn ct_alloc(&self, query: &CtQuery<'_>) -> Result<Object, Errno> {
        if port(query.tuple) == 81 {
            return Err(Errno::EEXIST);
        }
        let new = || Connection { tuple: query.tuple.to_vec(), ..Connection::default() };
        Ok(object(uncounted(|| Box::leak(Box::new(new())))))
    }

    fn ct_lookup(&self, query: &CtQuery<'_>) -> Result<Tracked, Errno> {
        let found = self.connections.lock().unwrap().get(query.tuple).copied().ok_or(Errno::ENOENT)?;
        found.references.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            (found.timeout.load(Ordering::Relaxed), found.status.load(Ordering::Relaxed)),
            (20_000, 8)
        );
        Ok(Tracked { object: object(found), direction: 0 })
    }

    fn ct_insert(&self, new: Object) -> Option<Object> {
        let new = connection(new);
        if port(&new.tuple) == 82 {
            return None;
        }
        new.references.fetch_add(1, Ordering::Relaxed);
        uncounted(|| self.connections.lock().unwrap().insert(new.tuple.clone(), new));
        Some(object(new))
    }

    fn ct_release(&self, tracked: Object) {
        assert!(connection(tracked).references.fetch_sub(1, Ordering::Relaxed) > 0);
    }

    fn ct_set_timeout(&self, new: Object, timeout: u32) {
        connection(new).timeout.store(timeout, Ordering::Relaxed);
    }

    fn ct_change_timeout(&self, tracked: Object, timeout: u32) -> Result<(), Errno> {
        if timeout == NO_TIMEOUT {
            return Err(Errno::EPERM);
        }
        connection(tracked).timeout.store(timeout, Ordering::Relaxed);
        Ok(())
    }

    fn ct_set_status(&self, new: Object, given: u32) -> Result<(), Errno> {
        connection(new).status.store(status(given)?, Ordering::Relaxed);
        Ok(())
    }

    fn ct_change_status(&self, tracked: Object, given: u32) -> Result<(), Errno> {
        connection(tracked).status.store(status(given)?, Ordering::Relaxed);
        Ok(())
    }
}

/// An environment with a host of its own.
pub(crate) fn env() -> Arc<Env> {
    let host: &'static Tables = Box::leak(Box::default());
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions { host: Some(host), ..EnvOptions::default() }).unwrap()
}
