//! What the caller holds: every handle with a reference of its own, so that it lives until it is given back.

use super::said;
use crate::bytes::Bytes;
use crate::exact::Exact;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use std::ptr::NonNull;
use uxdp_capi::*;
use uxdp_core::platform::{MapMemory, MemRequest};

/// Handles of one sort at most.
const MOST: usize = 24;

/// The caller of one input.
pub(super) struct World {
    pub(super) env: *mut uxdp_env,
    pub(super) objects: Vec<*mut uxdp_object>,
    pub(super) progs: Vec<*mut uxdp_prog>,
    pub(super) maps: Vec<*mut uxdp_map>,
    pub(super) hooks: Vec<*mut uxdp_hook>,
    pub(super) fib: *mut uxdp_fib,
    pub(super) worker: *mut uxdp_worker,
    pub(super) online: bool,
    /// Memory that maps were made in, theirs until the end.
    pub(super) lent: Vec<Lent>,
    /// Room in user rings that was not given away yet: the map and the sample.
    pub(super) samples: Vec<(*mut uxdp_map, *mut c_void)>,
}

/// Page-aligned memory of the caller's.
pub(super) struct Lent {
    pub(super) at: NonNull<u8>,
    pub(super) len: usize,
}

impl Lent {
    pub(super) fn new(len: usize) -> Option<Lent> {
        let request = MemRequest { name: "lent", size: len, align: 4096, numa_node: -1 };
        Some(Lent { at: Exact.alloc(&request)?, len })
    }

    /// Somebody else who shares the memory writes to it.
    pub(super) fn scribble(&self, bytes: &mut Bytes<'_>) {
        let at = match bytes.below(3) {
            0 => bytes.below(256),
            1 => usize::from(bytes.byte()) << 4,
            _ => usize::from(bytes.byte()) << 8 | usize::from(bytes.byte()),
        };
        let mask = 1 << bytes.below(8);
        if at < self.len {
            // SAFETY: inside the memory; no call is under way.
            unsafe { *self.at.as_ptr().add(at) ^= mask };
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: allocated with that length; no map of it is left.
        unsafe { Exact.free(self.at, self.len) };
    }
}

impl World {
    pub(super) fn new(bytes: &mut Bytes<'_>) -> World {
        let opts = uxdp_env_opts {
            sz: size_of::<uxdp_env_opts>(),
            nr_cpus: 1 + bytes.below(3) as u32,
            reserved: 0,
            host: null(),
            helpers: null(),
            nr_helpers: 0,
        };
        let (mut env, mut fib) = (null_mut(), null_mut());
        // SAFETY: options and places are ours.
        unsafe {
            assert_eq!(said(uxdp_env_create(&opts, &mut env)), 0);
            assert_eq!(said(uxdp_fib_create(&mut fib)), 0);
        }
        World {
            env,
            objects: Vec::new(),
            progs: Vec::new(),
            maps: Vec::new(),
            hooks: Vec::new(),
            fib,
            worker: null_mut(),
            online: false,
            lent: Vec::new(),
            samples: Vec::new(),
        }
    }

    pub(super) fn keep_map(&mut self, map: *mut uxdp_map) {
        assert!(!map.is_null());
        self.maps.push(map);
        if self.maps.len() > MOST {
            self.drop_map(0);
        }
    }

    pub(super) fn keep_prog(&mut self, prog: *mut uxdp_prog) {
        self.progs.push(prog);
        if self.progs.len() > MOST {
            // SAFETY: a reference of ours.
            unsafe { uxdp_prog_unref(self.progs.remove(0)) };
        }
    }

    pub(super) fn keep_object(&mut self, object: *mut uxdp_object) {
        self.objects.push(object);
        if self.objects.len() > 6 {
            // SAFETY: its programs and maps are held by references of our own.
            unsafe { uxdp_object_free(self.objects.remove(0)) };
        }
    }

    fn drop_map(&mut self, at: usize) {
        let map = self.maps.remove(at);
        self.samples.retain(|(of, sample)| {
            if *of == map && !self.maps.contains(of) {
                // SAFETY: a sample that was not given away.
                said(unsafe { uxdp_user_ringbuf_discard(map, *sample) });
                return false;
            }
            true
        });
        // SAFETY: a reference of ours.
        unsafe { uxdp_map_unref(map) };
    }

    /// One of them, or NULL, which there often is.
    pub(super) fn map(&self, bytes: &mut Bytes<'_>) -> *mut uxdp_map {
        one(&self.maps, bytes)
    }

    pub(super) fn prog(&self, bytes: &mut Bytes<'_>) -> *mut uxdp_prog {
        one(&self.progs, bytes)
    }

    pub(super) fn object(&self, bytes: &mut Bytes<'_>) -> *mut uxdp_object {
        one(&self.objects, bytes)
    }

    pub(super) fn hook(&self, bytes: &mut Bytes<'_>) -> *mut uxdp_hook {
        one(&self.hooks, bytes)
    }

    pub(super) fn give_back_one(&mut self, bytes: &mut Bytes<'_>) {
        // SAFETY: each is a reference of ours, and what is made of it holds its own.
        unsafe {
            match bytes.below(5) {
                0 if !self.objects.is_empty() => {
                    let at = bytes.below(self.objects.len());
                    uxdp_object_free(self.objects.remove(at));
                }
                1 if !self.progs.is_empty() => {
                    let at = bytes.below(self.progs.len());
                    uxdp_prog_unref(self.progs.remove(at));
                }
                2 if !self.maps.is_empty() => self.drop_map(bytes.below(self.maps.len())),
                3 if !self.hooks.is_empty() => {
                    let at = bytes.below(self.hooks.len());
                    uxdp_hook_free(self.hooks.remove(at));
                }
                _ if !self.online => assert_eq!(said(uxdp_synchronize(self.env)), 0),
                _ => uxdp_worker_quiescent(self.worker),
            }
        }
    }
}

fn one<T>(all: &[*mut T], bytes: &mut Bytes<'_>) -> *mut T {
    if all.is_empty() || bytes.rarely(64) { null_mut() } else { all[bytes.below(all.len())] }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: each handle is ours, once.
        unsafe {
            uxdp_worker_unregister(self.worker);
            while !self.maps.is_empty() {
                self.drop_map(self.maps.len() - 1);
            }
            self.hooks.drain(..).for_each(|h| uxdp_hook_free(h));
            self.progs.drain(..).for_each(|p| uxdp_prog_unref(p));
            self.objects.drain(..).for_each(|o| uxdp_object_free(o));
            uxdp_fib_free(self.fib);
            assert_eq!(said(uxdp_synchronize(self.env)), 0);
            uxdp_env_free(self.env);
        }
    }
}
