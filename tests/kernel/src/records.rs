//! What the kernel's programs put out for readers, through libbpf's ring and perf buffers.

use crate::object::Map;
use anyhow::{Result, bail};
use libbpf_sys as bpf;
use std::ffi::{c_int, c_void};
use std::ptr;
use uxdp_control::records::Record;
use uxdp_core::maps::MapType;

/// Pages of each CPU's perf buffer.
const PERF_PAGES: u64 = 64;

enum Buffer {
    Ring(*mut bpf::ring_buffer),
    Perf(*mut bpf::perf_buffer),
}

/// Where callbacks put records: its address is libbpf's context, so that it never moves.
struct Sink {
    name: String,
    records: Vec<Record>,
}

/// A reader of the maps of an object that hold records.
pub(crate) struct Readers {
    buffers: Vec<(Buffer, *mut Sink)>,
}

unsafe extern "C" fn ring_sample(ctx: *mut c_void, data: *mut c_void, size: bpf::size_t) -> c_int {
    // SAFETY: `ctx` is the reader's sink, which nothing else uses during a consume; libbpf hands `size` readable bytes.
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size as usize).to_vec();
        (*ctx.cast::<Sink>()).records.push(Record { cpu: None, bytes });
    }
    0
}

unsafe extern "C" fn perf_sample(ctx: *mut c_void, cpu: c_int, data: *mut c_void, size: u32) {
    // SAFETY: as above.
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size as usize).to_vec();
        (*ctx.cast::<Sink>()).records.push(Record { cpu: Some(cpu as u32), bytes });
    }
}

impl Readers {
    pub(crate) fn open(maps: &[Map]) -> Result<Self> {
        let mut readers = Readers { buffers: Vec::new() };
        for map in maps {
            if !matches!(map.spec.kind, MapType::Ringbuf | MapType::PerfEventArray) {
                continue;
            }
            let sink = Box::into_raw(Box::new(Sink { name: map.name.clone(), records: Vec::new() }));
            // SAFETY: a map of a loaded object; the sink lives until the buffer is freed.
            let buffer = unsafe {
                if map.spec.kind == MapType::Ringbuf {
                    Buffer::Ring(bpf::ring_buffer__new(map.fd, Some(ring_sample), sink.cast(), ptr::null()))
                } else {
                    Buffer::Perf(bpf::perf_buffer__new(
                        map.fd,
                        PERF_PAGES as _,
                        Some(perf_sample),
                        None,
                        sink.cast(),
                        ptr::null(),
                    ))
                }
            };
            let none = match &buffer {
                Buffer::Ring(rb) => rb.is_null(),
                Buffer::Perf(pb) => pb.is_null(),
            };
            readers.buffers.push((buffer, sink));
            if none {
                bail!("libbpf cannot read map \"{}\"", map.name);
            }
        }
        Ok(readers)
    }

    /// Takes what is there, by the name of the map.
    pub(crate) fn take(&mut self) -> Vec<(String, Record)> {
        let mut out = Vec::new();
        for (buffer, sink) in &self.buffers {
            // SAFETY: buffers that `open` made; the sink is only used by the callbacks, which run within the consume.
            unsafe {
                match buffer {
                    Buffer::Ring(rb) => bpf::ring_buffer__consume(*rb),
                    Buffer::Perf(pb) => bpf::perf_buffer__consume(*pb),
                };
                let sink = &mut **sink;
                out.extend(sink.records.drain(..).map(|r| (sink.name.clone(), r)));
            }
        }
        out
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for (buffer, sink) in self.buffers.drain(..) {
            // SAFETY: made by `open`, freed once; libbpf accepts null.
            unsafe {
                match buffer {
                    Buffer::Ring(rb) => bpf::ring_buffer__free(rb),
                    Buffer::Perf(pb) => bpf::perf_buffer__free(pb),
                }
                drop(Box::from_raw(sink));
            }
        }
    }
}
