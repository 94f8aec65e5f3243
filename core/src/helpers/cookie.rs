//! SYN cookies without a socket: made of addresses, ports, the client's sequence number, the minute and one of four MSS, with secrets of the environment's.
//!
//! ```text
//! cookie = hash(0, secret 0) + seq + (minute << 24) + ((hash(minute, secret 1) + index of the MSS) & 0xffffff)
//! ```
//!
//! A check takes the first two off, finds in the top bits how old the cookie is (this minute or the one before), and in the rest the index. Source: the kernel's
//! `net/ipv4/syncookies.c`, `net/ipv6/syncookies.c`; the hash is SipHash-2-4 there too.

use super::system::minutes;
use super::{Access, ArgType, Helper, HelperFn, Proto, RetType};
use crate::error::Errno;
use crate::vm::{CookieSecrets, Ctx};

const fn header(size: u32) -> ArgType {
    ArgType::FixedMem { access: Access::Read, size, aligned: false }
}

/// Bytes of `struct iphdr`, `struct ipv6hdr`, `struct tcphdr`.
const IPV4: u32 = 20;
const IPV6: u32 = 40;
const TCP: u32 = 20;

const TCP_OPTIONS: ArgType = ArgType::Mem { access: Access::Read, nullable: false };

const fn row(id: u32, name: &'static str, args: &[ArgType], func: HelperFn) -> Helper {
    Helper { id, name, proto: Proto::new(args, RetType::Integer).taking_packet(), func: Some(func) }
}

pub(super) const GEN_IPV4: Helper = row(
    204,
    "bpf_tcp_raw_gen_syncookie_ipv4",
    &[header(IPV4), TCP_OPTIONS, ArgType::ConstSizeOrZero],
    gen_ipv4,
);
pub(super) const GEN_IPV6: Helper = row(
    205,
    "bpf_tcp_raw_gen_syncookie_ipv6",
    &[header(IPV6), TCP_OPTIONS, ArgType::ConstSizeOrZero],
    gen_ipv6,
);
pub(super) const CHECK_IPV4: Helper =
    row(206, "bpf_tcp_raw_check_syncookie_ipv4", &[header(IPV4), header(TCP)], check_ipv4);
pub(super) const CHECK_IPV6: Helper =
    row(207, "bpf_tcp_raw_check_syncookie_ipv6", &[header(IPV6), header(TCP)], check_ipv6);

/// The MSS that a cookie can tell, rising.
const MSS_V4: [u16; 4] = [536, 1300, 1440, 1460];
const MSS_V6: [u16; 4] = [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60];
/// What an option that is not there stands for.
const TCP_MSS_DEFAULT: u16 = 536;
const MSS_CLAMP_V6: u16 = 1280 - 20 - 40;
/// Minutes that a cookie lives.
const MAX_SYNCOOKIE_AGE: u32 = 2;
const COOKIEBITS: u32 = 24;
const COOKIEMASK: u32 = (1 << COOKIEBITS) - 1;

/// What the hash is over.
#[derive(Clone, Copy)]
struct Flow {
    /// Addresses, ports and a place for the minute, as the kernel lays them out.
    bytes: [u8; 40],
    len: usize,
    /// Where the minute stands.
    minute: usize,
    secret: usize,
}

impl Flow {
    fn v4(ip: &[u8; IPV4 as usize], tcp: &[u8; TCP as usize]) -> Flow {
        let mut f = Flow { bytes: [0; 40], len: 16, minute: 12, secret: 0 };
        copy(&mut f.bytes, 0, ip, 12..20);
        // The ports as one number: the source in its upper half, each as it stands in memory.
        copy(&mut f.bytes, 8, tcp, 2..4);
        copy(&mut f.bytes, 10, tcp, 0..2);
        f
    }

    fn v6(ip: &[u8; IPV6 as usize], tcp: &[u8; TCP as usize]) -> Flow {
        let mut f = Flow { bytes: [0; 40], len: 40, minute: 32, secret: 2 };
        copy(&mut f.bytes, 0, ip, 8..40);
        copy(&mut f.bytes, 36, tcp, 0..4);
        f
    }

    fn hash(mut self, minute: u32, which: usize, secrets: &CookieSecrets) -> u32 {
        copy(&mut self.bytes, self.minute, &minute.to_le_bytes(), 0..4);
        let key = secrets.get(self.secret + which).copied().unwrap_or_default();
        siphash(key, self.bytes.get(..self.len).unwrap_or_default()) as u32
    }

    fn cookie(self, seq: u32, minute: u32, index: u32, secrets: &CookieSecrets) -> u32 {
        let data = self.hash(minute, 1, secrets).wrapping_add(index) & COOKIEMASK;
        self.hash(0, 0, secrets).wrapping_add(seq).wrapping_add(minute << COOKIEBITS).wrapping_add(data)
    }

    /// The index that a cookie tells; something large where it is none, or old.
    fn index(self, cookie: u32, seq: u32, minute: u32, secrets: &CookieSecrets) -> u32 {
        let cookie = cookie.wrapping_sub(self.hash(0, 0, secrets)).wrapping_sub(seq);
        let age = minute.wrapping_sub(cookie >> COOKIEBITS) & (u32::MAX >> COOKIEBITS);
        if age >= MAX_SYNCOOKIE_AGE {
            return u32::MAX;
        }
        cookie.wrapping_sub(self.hash(minute.wrapping_sub(age), 1, secrets)) & COOKIEMASK
    }
}

fn copy(to: &mut [u8], at: usize, from: &[u8], range: core::ops::Range<usize>) {
    let to = to.get_mut(at..).unwrap_or_default();
    to.iter_mut().zip(from.get(range).unwrap_or_default()).for_each(|(t, f)| *t = *f);
}

/// SipHash-2-4 (Aumasson and Bernstein).
fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [k0, k1] = key;
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut absorb = |word: u64| {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    };
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        absorb(chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b)));
    }
    let rest = chunks.remainder().iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
    absorb(rest | (bytes.len() as u64) << 56);
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    let [a, b, c, d] = *v;
    let (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
    let (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
    let (a, c) = (a.rotate_left(32).wrapping_add(d), c.wrapping_add(b));
    let (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
    *v = [a, b, c.rotate_left(32), d];
}

/// The MSS option of a TCP header; the last one counts, of those before an option that is cut off.
fn mss_option(tcp: &[u8]) -> Option<u16> {
    let (mut rest, mut mss) = (tcp.get(TCP as usize..)?, None);
    while let [kind, after @ ..] = rest {
        match (*kind, after) {
            (0, _) => break,
            (1, _) => rest = after,
            (_, [size, ..]) if *size >= 2 && usize::from(*size) <= rest.len() => {
                if let [2, 4, high, low, ..] = *rest {
                    let given = u16::from_be_bytes([high, low]);
                    mss = if given == 0 { mss } else { Some(given) };
                }
                rest = rest.get(usize::from(*size)..).unwrap_or_default();
            }
            // What is cut off, or says that it has no length, ends the list: what came before it counts.
            _ => break,
        }
    }
    mss
}

fn number(tcp: &[u8; TCP as usize], at: usize) -> u32 {
    let [a, b, c, d] = [at, at + 1, at + 2, at + 3].map(|i| tcp.get(i).copied().unwrap_or(0));
    u32::from_be_bytes([a, b, c, d])
}

/// What all four need: secrets and the minute.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn now<'a>(ctx: *const Ctx) -> Option<(&'a CookieSecrets, u32)> {
    // SAFETY: the caller's; the context's services outlive it.
    let env = unsafe { (*ctx).env.as_ref() }?;
    Some((env.cookie_secrets.as_ref()?, minutes(env) as u32))
}

/// Makes a cookie: the MSS that it tells above, the cookie below.
///
/// # Safety
/// `tcp` is readable for `size` bytes, `ctx` the run's context.
unsafe fn generate(
    tcp: u64,
    size: u64,
    ctx: *const Ctx,
    (table, default): (&[u16; 4], u16),
    flow: impl FnOnce(&[u8; TCP as usize]) -> Flow,
) -> u64 {
    // SAFETY: the caller's.
    let tcp = unsafe { core::slice::from_raw_parts(tcp as *const u8, size as u32 as usize) };
    let Some(head) = tcp.first_chunk::<{ TCP as usize }>() else { return Errno::EINVAL.to_ret() };
    let size = tcp.get(12).map_or(0, |b| usize::from(b >> 4) * 4);
    if tcp.len() != size {
        return Errno::EINVAL.to_ret();
    }
    // SAFETY: the caller's.
    let Some((secrets, minute)) = (unsafe { now(ctx) }) else { return Errno::EOPNOTSUPP.to_ret() };
    let wanted = mss_option(tcp).unwrap_or(default);
    let index = table.iter().rposition(|mss| wanted >= *mss).unwrap_or(0);
    let mss = table.get(index).copied().unwrap_or(default);
    let cookie = flow(head).cookie(number(head, 4), minute, index as u32, secrets);
    u64::from(cookie) | u64::from(mss) << 32
}

/// Checks the acknowledgement of a cookie.
///
/// # Safety
/// `tcp` is readable for a header, `ctx` the run's context.
unsafe fn check(tcp: u64, ctx: *const Ctx, flow: impl FnOnce(&[u8; TCP as usize]) -> Flow) -> u64 {
    // SAFETY: the caller's.
    let (tcp, now) = unsafe { ((tcp as *const [u8; TCP as usize]).read(), now(ctx)) };
    let Some((secrets, minute)) = now else { return Errno::EOPNOTSUPP.to_ret() };
    let (seq, cookie) = (number(&tcp, 4).wrapping_sub(1), number(&tcp, 8).wrapping_sub(1));
    let index = flow(&tcp).index(cookie, seq, minute, secrets);
    if (index as usize) < MSS_V4.len() { 0 } else { Errno::EACCES.to_ret() }
}

unsafe extern "C" fn gen_ipv4(ip: u64, tcp: u64, size: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved an IPv4 header at r1 and r3 readable bytes at r2; the context is the run's.
    unsafe {
        let ip = (ip as *const [u8; IPV4 as usize]).read();
        generate(tcp, size, ctx, (&MSS_V4, TCP_MSS_DEFAULT), |tcp| Flow::v4(&ip, tcp))
    }
}

unsafe extern "C" fn gen_ipv6(ip: u64, tcp: u64, size: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `gen_ipv4`, of an IPv6 header.
    unsafe {
        let ip = (ip as *const [u8; IPV6 as usize]).read();
        generate(tcp, size, ctx, (&MSS_V6, MSS_CLAMP_V6), |tcp| Flow::v6(&ip, tcp))
    }
}

unsafe extern "C" fn check_ipv4(ip: u64, tcp: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved both headers; the context is the run's.
    unsafe {
        let ip = (ip as *const [u8; IPV4 as usize]).read();
        check(tcp, ctx, |tcp| Flow::v4(&ip, tcp))
    }
}

unsafe extern "C" fn check_ipv6(ip: u64, tcp: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `check_ipv4`.
    unsafe {
        let ip = (ip as *const [u8; IPV6 as usize]).read();
        check(tcp, ctx, |tcp| Flow::v6(&ip, tcp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation: key and input count up.
    #[test]
    fn hash_is_siphash_2_4() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: std::vec::Vec<u8> = (0..64).collect();
        for (len, expected) in [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
            (16, 0x3f2a_cc7f_57c2_9bdb),
        ] {
            assert_eq!(siphash(key, &input[..len]), expected, "{len} bytes");
        }
    }

    #[test]
    fn mss_is_the_last_one_before_an_option_that_is_cut_off() {
        let of = |options: &[u8]| mss_option(&[&[0; TCP as usize], options].concat());
        assert_eq!(of(&[2, 4, 5, 0xb4]), Some(1460));
        assert_eq!(of(&[2, 4, 5, 0xb4, 4, 2, 8, 10]), Some(1460));
        assert_eq!(of(&[2, 4, 5, 0xb4, 1, 2, 4, 2, 0, 0]), Some(512));
        assert_eq!(of(&[0, 2, 4, 5, 0xb4]), None);
        assert_eq!(of(&[8, 10, 2, 4, 5, 0xb4]), None);
        assert_eq!(of(&[2, 4, 0, 0]), None);
    }

    #[test]
    fn cookie_lives_two_minutes_and_belongs_to_its_flow() {
        let secrets = [[1, 2], [3, 4], [5, 6], [7, 8]];
        let (mut ip, mut tcp) = ([7u8; 20], [9u8; 20]);
        let flow = Flow::v4(&ip, &tcp);
        for minute in [0, 1, 255, 256, 70_000, u32::MAX] {
            for index in 0..4 {
                let cookie = flow.cookie(123, minute, index, &secrets);
                assert_eq!(flow.index(cookie, 123, minute, &secrets), index);
                assert_eq!(flow.index(cookie, 123, minute.wrapping_add(1), &secrets), index);
                assert!(flow.index(cookie, 123, minute.wrapping_add(2), &secrets) > 3);
                assert!(flow.index(cookie, 123, minute.wrapping_sub(1), &secrets) > 3);
                assert!(flow.index(cookie, 5000, minute, &secrets) > 3);
            }
        }
        let cookie = flow.cookie(123, 5, 2, &secrets);
        ip[15] ^= 1;
        assert!(Flow::v4(&ip, &tcp).index(cookie, 123, 5, &secrets) > 3);
        ip[15] ^= 1;
        tcp[0] ^= 1;
        assert!(Flow::v4(&ip, &tcp).index(cookie, 123, 5, &secrets) > 3);
    }
}
