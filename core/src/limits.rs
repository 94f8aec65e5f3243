//! The kernel's limits, under the kernel's names. Every bound that a program can meet stands here, with where the kernel has it.

/// Bytes of stack over a whole call chain (`include/linux/filter.h`).
pub const MAX_BPF_STACK: u32 = 512;
/// Frames of BPF-to-BPF calls (`include/linux/bpf_verifier.h`).
pub const MAX_CALL_FRAMES: usize = 8;
/// Functions of one program, the main one included.
pub const BPF_MAX_SUBPROGS: usize = 256;
/// Instructions of one program for a privileged loader (`BPF_COMPLEXITY_LIMIT_INSNS`), also the budget of processed ones.
pub const BPF_COMPLEXITY_LIMIT_INSNS: u32 = 1_000_000;
/// Branches that may wait to be explored.
pub const BPF_COMPLEXITY_LIMIT_JMP_SEQ: u32 = 8192;
/// Maps that one program may use.
pub const MAX_USED_MAPS: usize = 64;
/// Tail calls of one run (`include/linux/bpf.h`).
pub const MAX_TAIL_CALL_CNT: u32 = 33;
/// Stack that a frame above a tail-calling subprogram may use.
pub const MAX_TAIL_CALL_CALLER_STACK: u32 = 256;
/// Largest constant offset of a packet access.
pub const MAX_PACKET_OFF: u32 = 0xffff;
/// Largest variable offset of a pointer (exclusive), and of its constant part.
pub const BPF_MAX_VAR_OFF: i64 = 1 << 29;
/// Iterations of one `bpf_loop`.
pub const BPF_MAX_LOOPS: u32 = 8 * 1024 * 1024;
/// Bytes of an object's name, the terminating NUL included (`include/uapi/linux/bpf.h`).
pub const BPF_OBJ_NAME_LEN: usize = 16;
/// Headroom in front of a packet (`include/uapi/linux/bpf.h`).
pub const XDP_PACKET_HEADROOM: usize = 256;
/// Bytes at the start of the buffer that the kernel keeps for its own frame record (`struct xdp_frame`, 40 on 64-bit).
pub const XDP_FRAME_SIZE: usize = 40;
/// Most metadata in front of a packet: what fits `skb_shared_info::meta_len`.
pub const XDP_METADATA_MAX: usize = 252;
/// Shortest packet that `bpf_xdp_adjust_tail` leaves (`ETH_HLEN`).
pub const ETH_HLEN: usize = 14;
