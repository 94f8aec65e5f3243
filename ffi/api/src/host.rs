//! What a C host can do for programs: callbacks, and the helpers ([`crate::helper`]) of an environment.
//!
//! Programs may outlive every handle, so what an environment was made with is kept for the life of the process: one record for each such environment.

use crate::helper::{row, text, uxdp_helper};
use crate::opts;
use crate::status::{Failed, fail};
use core::ffi::{c_int, c_void};
use core::mem::size_of;
use core::sync::atomic::{AtomicPtr, Ordering};
use uxdp_core::error::Errno;
use uxdp_core::helpers::{Helper, HelperSet, STANDARD};
use uxdp_core::host::{CtQuery, Host, Object, Service, SocketQuery, Tracked};
use uxdp_core::mem::{String, Vec};
use uxdp_core::sync::Arc;

/// A question for a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_socket_query {
    /// 0: TCP, a connection or listener. 1: UDP. 2: TCP in any state.
    pub kind: u32,
    /// The network name space; -1: the packet's own.
    pub netns: i32,
    /// Where the packet came in.
    pub ingress_ifindex: u32,
    /// Bytes of `tuple`: 12 for IPv4, 36 for IPv6.
    pub tuple_size: u32,
    /// Source and destination address, source and destination port, in network byte order: the kernel's `struct bpf_sock_tuple`.
    pub tuple: *const c_void,
}

/// A question for a tracked connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_ct_query {
    /// As in `struct uxdp_socket_query`.
    pub tuple: *const c_void,
    /// Bytes of `tuple`: 12 for IPv4, 36 for IPv6.
    pub tuple_size: u32,
    /// The network name space; -1: the packet's own.
    pub netns: i32,
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// The directions that the zone is for; 0: both.
    pub zone_direction: u8,
    /// The zone; 0: the default one.
    pub zone: u16,
    /// 0.
    pub reserved: u32,
}

/// What only the host can do for programs. Each may be NULL: a program that calls a helper which wants it is refused with -EOPNOTSUPP, and the message names it.
///
/// All are called on a worker's thread, in the middle of a run: they must neither wait nor call uxdp. Objects are the host's pointers, not NULL, which programs
/// give back. `arg` is handed to each. Functions that return int return 0 or a negative errno value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_host_ops {
    /// `sizeof(struct uxdp_host_ops)`.
    pub sz: usize,
    /// The caller's own.
    pub arg: *mut c_void,
    /// A socket, held for the program; NULL: there is none.
    pub sk_lookup:
        Option<unsafe extern "C" fn(arg: *mut c_void, query: *const uxdp_socket_query) -> *mut c_void>,
    /// Takes a socket back.
    pub sk_release: Option<unsafe extern "C" fn(arg: *mut c_void, sk: *mut c_void)>,
    /// The cookie and the MSS of the answer to a SYN for a listener: -ENOENT where none is due, -EINVAL where `sk` is no listener.
    pub tcp_gen_syncookie: Option<
        unsafe extern "C" fn(
            arg: *mut c_void,
            sk: *mut c_void,
            ip: *const c_void,
            ip_size: usize,
            tcp: *const c_void,
            tcp_size: usize,
            cookie: *mut u32,
            mss: *mut u16,
        ) -> c_int,
    >,
    /// Whether an ACK answers a cookie of a listener: 0, -ENOENT or -EINVAL.
    pub tcp_check_syncookie: Option<
        unsafe extern "C" fn(
            arg: *mut c_void,
            sk: *mut c_void,
            ip: *const c_void,
            ip_size: usize,
            tcp: *const c_void,
            tcp_size: usize,
        ) -> c_int,
    >,
    /// A new connection that is not known yet; NULL, and a negative errno value in `error`.
    pub ct_alloc: Option<
        unsafe extern "C" fn(arg: *mut c_void, query: *const uxdp_ct_query, error: *mut c_int) -> *mut c_void,
    >,
    /// A tracked connection, held for the program, and the packet's direction (0 original, 1 reply); NULL, and a negative errno value in `error`.
    pub ct_lookup: Option<
        unsafe extern "C" fn(
            arg: *mut c_void,
            query: *const uxdp_ct_query,
            direction: *mut u8,
            error: *mut c_int,
        ) -> *mut c_void,
    >,
    /// Makes a new connection known, whose reference goes; the tracked one, held for the program, or NULL.
    pub ct_insert: Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void) -> *mut c_void>,
    /// Takes a tracked connection back; or, of a run that was ended in between, a new one that is not inserted.
    pub ct_release: Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void)>,
    /// Sets the time to live of a new connection, in milliseconds.
    pub ct_set_timeout: Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void, timeout: u32)>,
    /// Changes that of a tracked one.
    pub ct_change_timeout:
        Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void, timeout: u32) -> c_int>,
    /// Sets the status bits (`IPS_*`) of a new connection.
    pub ct_set_status: Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void, status: u32) -> c_int>,
    /// Changes those of a tracked one.
    pub ct_change_status:
        Option<unsafe extern "C" fn(arg: *mut c_void, ct: *mut c_void, status: u32) -> c_int>,
}

/// What an environment was made with.
struct Record {
    ops: uxdp_host_ops,
    names: Vec<String>,
    rows: Vec<Helper>,
    next: *const Record,
}

// SAFETY: `uxdp_host_ops` asks for functions that any worker may call with `arg`; everything else never changes.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

/// All records, newest first; they are never freed.
static ALL: AtomicPtr<Record> = AtomicPtr::new(core::ptr::null_mut());

/// A host's services and the helpers that its programs may call.
pub(crate) type Kept = (Option<&'static dyn Host>, Option<HelperSet>);

/// Keeps what a host gives; nothing is kept where it gives nothing.
///
/// # Errors
/// EINVAL for a helper that is none, E2BIG for fields that this version does not know, ENOMEM.
///
/// # Safety
/// `ops` is NULL or points at `ops->sz` bytes; `helpers` are `n` structs of `helpers->sz` bytes; all functions do what the header asks of them.
pub(crate) unsafe fn keep(
    ops: *const uxdp_host_ops,
    helpers: *const uxdp_helper,
    n: usize,
) -> Result<Kept, Failed> {
    if ops.is_null() && n == 0 {
        return Ok((None, None));
    }
    let mut record = Record {
        // SAFETY: the caller's word.
        ops: unsafe { opts::read(ops)? },
        names: Vec::new(),
        rows: Vec::new(),
        next: core::ptr::null(),
    };
    // SAFETY: the caller's word.
    unsafe { record.take_helpers(helpers, n)? };
    let record = Arc::into_raw(Arc::new(record)?).cast_mut();
    let mut newest = ALL.load(Ordering::Acquire);
    loop {
        // SAFETY: seen by nobody yet.
        unsafe { (*record).next = newest };
        // Release: whoever walks the list sees whole records.
        match ALL.compare_exchange(newest, record, Ordering::Release, Ordering::Acquire) {
            Ok(_) => break,
            Err(other) => newest = other,
        }
    }
    // SAFETY: just published, never freed.
    let record: &'static Record = unsafe { &*record };
    let rows = (n != 0).then(|| HelperSet::new(&record.rows));
    Ok(((!ops.is_null()).then_some(record as &'static dyn Host), rows))
}

impl Record {
    /// Adds a host's helpers to the standard ones.
    ///
    /// # Safety
    /// As [`keep`].
    unsafe fn take_helpers(&mut self, helpers: *const uxdp_helper, n: usize) -> Result<(), Failed> {
        if n == 0 {
            return Ok(());
        }
        if helpers.is_null() || n > 1024 {
            return Err(fail(Errno::EINVAL, format_args!("helpers is NULL, or there are more than 1024")));
        }
        self.rows.extend_from_slice(STANDARD.rows())?;
        // SAFETY: the caller's word: structs begin with their size, the first one's is each one's.
        let stride = unsafe { helpers.cast::<usize>().read() };
        // Names first: rows refer to them.
        self.names.reserve(n)?;
        for i in 0..n {
            // SAFETY: the caller's word.
            let (h, name) = unsafe {
                let h = opts::read(helpers.byte_add(i * stride))?;
                (h, text(h.name)?)
            };
            self.names.push(String::from_text(name)?)?;
            let name = self.names.last().map_or("", |s| s.as_str());
            // SAFETY: the text is on the heap, never changes and lives as long as the record, which is never freed; where this fails, the rows go with it.
            let name = unsafe { core::mem::transmute::<&str, &'static str>(name) };
            self.rows.push(row(&h, name)?)?;
        }
        self.rows.sort_unstable_by_key(|r| r.id);
        let pair = self.rows.windows(2).find(|pair| matches!(pair, [a, b] if a.id == b.id));
        if let Some([a, ..]) = pair {
            return Err(fail(Errno::EEXIST, format_args!("two helpers have the number {}", a.id)));
        }
        let twice = |name: &&String| self.rows.iter().filter(|r| r.name == name.as_str()).count() > 1;
        match self.names.iter().find(twice) {
            Some(name) => Err(fail(Errno::EEXIST, format_args!("two helpers have the name {name}"))),
            None => Ok(()),
        }
    }
}

/// What a C function's int says.
fn done(result: c_int) -> Result<(), Errno> {
    match result {
        0.. => Ok(()),
        e => Err(Errno(e.saturating_neg())),
    }
}

/// An object, or why there is none.
fn object(p: *mut c_void, error: c_int) -> Result<Object, Errno> {
    Object::new(p).ok_or(Errno(if error < 0 { error.saturating_neg() } else { Errno::ENOENT.0 }))
}

fn ct_query(q: &CtQuery<'_>) -> uxdp_ct_query {
    uxdp_ct_query {
        tuple: q.tuple.as_ptr().cast(),
        tuple_size: q.tuple.len() as u32,
        netns: q.netns,
        protocol: q.protocol,
        zone_direction: q.zone_direction,
        zone: q.zone,
        reserved: 0,
    }
}

// Every call below is the host's word: its functions may be called on any worker's thread with `arg` and objects that they themselves gave; NULL ones are never wanted,
// because programs that want them are refused.
impl Host for Record {
    fn provides(&self, service: Service) -> bool {
        let ops = &self.ops;
        match service {
            Service::Network | Service::Random | Service::Clock(_) => false,
            Service::SkLookup => ops.sk_lookup.is_some(),
            Service::SkRelease => ops.sk_release.is_some(),
            Service::TcpGenSyncookie => ops.tcp_gen_syncookie.is_some(),
            Service::TcpCheckSyncookie => ops.tcp_check_syncookie.is_some(),
            Service::CtAlloc => ops.ct_alloc.is_some(),
            Service::CtLookup => ops.ct_lookup.is_some(),
            Service::CtInsert => ops.ct_insert.is_some(),
            Service::CtRelease => ops.ct_release.is_some(),
            Service::CtSetTimeout => ops.ct_set_timeout.is_some(),
            Service::CtChangeTimeout => ops.ct_change_timeout.is_some(),
            Service::CtSetStatus => ops.ct_set_status.is_some(),
            Service::CtChangeStatus => ops.ct_change_status.is_some(),
        }
    }

    fn sk_lookup(&self, query: &SocketQuery<'_>) -> Option<Object> {
        let q = uxdp_socket_query {
            kind: query.kind as u32,
            netns: query.netns,
            ingress_ifindex: query.ingress_ifindex,
            tuple_size: query.tuple.len() as u32,
            tuple: query.tuple.as_ptr().cast(),
        };
        // SAFETY: see above.
        Object::new(unsafe { self.ops.sk_lookup?(self.ops.arg, &raw const q) })
    }

    fn sk_release(&self, socket: Object) {
        if let Some(f) = self.ops.sk_release {
            // SAFETY: see above.
            unsafe { f(self.ops.arg, socket.as_ptr()) };
        }
    }

    fn tcp_gen_syncookie(&self, socket: Object, ip: &[u8], tcp: &[u8]) -> Result<(u32, u16), Errno> {
        let f = self.ops.tcp_gen_syncookie.ok_or(Errno::EOPNOTSUPP)?;
        let (mut cookie, mut mss) = (0, 0);
        let (ip, ip_size, tcp, tcp_size) = (ip.as_ptr().cast(), ip.len(), tcp.as_ptr().cast(), tcp.len());
        // SAFETY: see above.
        done(unsafe {
            f(self.ops.arg, socket.as_ptr(), ip, ip_size, tcp, tcp_size, &raw mut cookie, &raw mut mss)
        })?;
        Ok((cookie, mss))
    }

    fn tcp_check_syncookie(&self, socket: Object, ip: &[u8], tcp: &[u8]) -> Result<(), Errno> {
        let f = self.ops.tcp_check_syncookie.ok_or(Errno::EOPNOTSUPP)?;
        let (ip, ip_size, tcp, tcp_size) = (ip.as_ptr().cast(), ip.len(), tcp.as_ptr().cast(), tcp.len());
        // SAFETY: see above.
        done(unsafe { f(self.ops.arg, socket.as_ptr(), ip, ip_size, tcp, tcp_size) })
    }

    fn ct_alloc(&self, query: &CtQuery<'_>) -> Result<Object, Errno> {
        let f = self.ops.ct_alloc.ok_or(Errno::EOPNOTSUPP)?;
        let (q, mut error) = (ct_query(query), 0);
        // SAFETY: see above.
        let made = unsafe { f(self.ops.arg, &raw const q, &raw mut error) };
        object(made, error)
    }

    fn ct_lookup(&self, query: &CtQuery<'_>) -> Result<Tracked, Errno> {
        let f = self.ops.ct_lookup.ok_or(Errno::EOPNOTSUPP)?;
        let (q, mut direction, mut error) = (ct_query(query), 0, 0);
        // SAFETY: see above.
        let found = unsafe { f(self.ops.arg, &raw const q, &raw mut direction, &raw mut error) };
        Ok(Tracked { object: object(found, error)?, direction })
    }

    fn ct_insert(&self, new: Object) -> Option<Object> {
        // SAFETY: see above.
        Object::new(unsafe { self.ops.ct_insert?(self.ops.arg, new.as_ptr()) })
    }

    fn ct_release(&self, tracked: Object) {
        if let Some(f) = self.ops.ct_release {
            // SAFETY: see above.
            unsafe { f(self.ops.arg, tracked.as_ptr()) };
        }
    }

    fn ct_set_timeout(&self, new: Object, timeout: u32) {
        if let Some(f) = self.ops.ct_set_timeout {
            // SAFETY: see above.
            unsafe { f(self.ops.arg, new.as_ptr(), timeout) };
        }
    }

    fn ct_change_timeout(&self, tracked: Object, timeout: u32) -> Result<(), Errno> {
        let f = self.ops.ct_change_timeout.ok_or(Errno::EOPNOTSUPP)?;
        // SAFETY: see above.
        done(unsafe { f(self.ops.arg, tracked.as_ptr(), timeout) })
    }

    fn ct_set_status(&self, new: Object, status: u32) -> Result<(), Errno> {
        let f = self.ops.ct_set_status.ok_or(Errno::EOPNOTSUPP)?;
        // SAFETY: see above.
        done(unsafe { f(self.ops.arg, new.as_ptr(), status) })
    }

    fn ct_change_status(&self, tracked: Object, status: u32) -> Result<(), Errno> {
        let f = self.ops.ct_change_status.ok_or(Errno::EOPNOTSUPP)?;
        // SAFETY: see above.
        done(unsafe { f(self.ops.arg, tracked.as_ptr(), status) })
    }
}

const _: () = assert!(size_of::<uxdp_socket_query>() == 24 && size_of::<uxdp_ct_query>() == 24);
