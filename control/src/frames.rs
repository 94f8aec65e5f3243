//! Packet buffers as the kernel's test run makes them: a page with room before and behind the packet.
//!
//! `BPF_PROG_TEST_RUN` puts a packet 256 bytes into a page, of which the first 40 are the kernel's own (`struct xdp_frame`), and keeps the page's last 320 bytes
//! (`struct skb_shared_info`). Programs see these limits through `bpf_xdp_adjust_head` and `_tail`, so they are the same here.
//! Kernel: a packet that does not fit one page is refused or becomes several buffers; uxdp: the buffer takes as many pages as it needs.

use uxdp_core::vm::Frame;

const PAGE: usize = 4096;
/// `XDP_PACKET_HEADROOM` without `struct xdp_frame`.
const HEADROOM: usize = 256 - 40;
/// What the page has before the packet and that programs cannot use.
const RESERVED_HEAD: usize = 40;
/// `struct skb_shared_info`, aligned.
const RESERVED_TAIL: usize = 320;

/// A buffer for packets, used for one after the other.
#[derive(Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Buffer(Vec::new())
    }

    /// The packet in the buffer, with the kernel's room around it. What an earlier packet left is cleared.
    pub fn load(&mut self, packet: &[u8]) -> Frame<'_> {
        let page = (RESERVED_HEAD + HEADROOM + packet.len() + RESERVED_TAIL).next_multiple_of(PAGE);
        self.0.clear();
        self.0.resize(page - RESERVED_HEAD - RESERVED_TAIL, 0);
        let data = HEADROOM..HEADROOM + packet.len();
        self.0[data.clone()].copy_from_slice(packet);
        Frame::new(&mut self.0, data).expect("the buffer was made around the packet")
    }
}
