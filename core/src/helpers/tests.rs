//! Helpers by their edges. Expected results of packet, checksum, text and trace helpers were read off Linux 6.18 with BPF_PROG_TEST_RUN.

mod maps;

use super::*;
use crate::error::Errno;
use crate::maps::MapType;
use crate::vm::tests::{Bench, env, map};

/// Calls a helper by number.
fn call(bench: &mut Bench, id: u32, args: &[u64]) -> i64 {
    let mut r = [0; 5];
    r[..args.len()].copy_from_slice(args);
    let func = STANDARD.get(STANDARD.row_of(id).unwrap()).unwrap().func.unwrap();
    // SAFETY: the tests give what the prototype asks for.
    unsafe { func(r[0], r[1], r[2], r[3], r[4], &mut *bench.ctx) as i64 }
}

fn err(e: Errno) -> i64 {
    e.to_ret() as i64
}

fn ptr<T>(x: &T) -> u64 {
    core::ptr::from_ref(x) as u64
}

#[test]
fn every_row_is_found_by_its_number() {
    for row in STANDARD.rows() {
        assert_eq!(STANDARD.get(STANDARD.row_of(row.id).unwrap()).unwrap().name, row.name);
    }
    assert_eq!(STANDARD.row_of(0), None);
    assert_eq!(STANDARD.row_of(4), None);
}

#[test]
fn what_is_only_in_the_kernel_has_the_names_of_linux_and_no_row() {
    let known: Vec<(u32, &str)> =
        (0..KFUNC_BASE + 1024).filter_map(|id| Some((id, kernel_only(id)?))).collect();
    assert_eq!(known.len(), 4);
    for (id, name) in known {
        assert_eq!(STANDARD.row_of(id), None, "{name}");
        assert_eq!(STANDARD.kfunc(name), None, "{name}");
        let linux = crate::isa::helper_name(id);
        assert!(linux.map_or(id >= KFUNC_BASE, |n| name.strip_prefix("bpf_") == Some(n)), "{name}");
    }
}

#[test]
fn checksum_differences_are_the_kernels() {
    let a = [0x1234_5678u32, 0xffff_0001];
    let b = [0xdead_beefu32, 0];
    let z = [0u32; 2];
    let (a, b, z) = (ptr(&a), ptr(&b), ptr(&z));
    let mut bench = Bench::new(&env());
    for (args, expected) in [
        ([a, 8, b, 8, 0], 0x34f0),
        ([0, 0, b, 8, 5], 0x9da2),
        ([a, 8, 0, 0, 5], 0x9757),
        ([0, 0, 0, 0, 0x1234_5678], 0x68ac),
        ([0, 0, 0, 0, 0xffff_fff0], 0xfff0),
        ([z, 8, z, 8, 0], 0xffff),
        ([z, 8, 0, 0, 0], 0),
        ([0, 0, z, 8, 0], 0),
        ([a, 8, a, 8, 0], 0xffff),
        ([a, 8, b, 4, 0xffff_ffff], 0x34f0),
        ([z, 8, 0, 0, 0xffff_ffff], 0xffff),
        ([a, 6, b, 8, 0], 0x34f0),
        ([a, 8, 0, 0, 0], 0x9752),
        ([a, 8, b, 8, 0xabcd_ef01], 0xcfbf),
    ] {
        assert_eq!(call(&mut bench, 28, &args), expected, "{args:x?}");
    }
}

#[test]
fn text_is_compared_as_the_kernel_does() {
    let mut bench = Bench::new(&env());
    let s = *b"abcdefg\0";
    for (size, with, expected) in [
        (8, c"abcdefg", 0),
        (3, c"abcx", 0),
        (8, c"abd", -1),
        (8, c"abb", 1),
        (8, c"abcdefgh", -1),
        (8, c"abc", 1),
        (1, c"", 1),
    ] {
        assert_eq!(call(&mut bench, 182, &[ptr(&s), size, with.as_ptr() as u64]), expected, "{with:?}");
    }
    let high = [0x80u8, 0];
    assert_eq!(call(&mut bench, 182, &[ptr(&high), 2, c"a".as_ptr() as u64]), 1, "bytes are unsigned");
}

/// One sequence on a packet of 64 bytes with 256 bytes of headroom, as the kernel's test run makes it.
#[test]
fn moved_packet_ends_keep_the_kernels_limits() {
    let (inval, acces) = (err(Errno::EINVAL), err(Errno::EACCES));
    let mut bench = Bench::new(&env());
    let d = |delta: i32| u64::from(delta as u32);
    for (step, (id, delta, expected)) in [
        (44, 51, inval),
        (44, 50, 0),
        (44, -50 - 256 + 40 - 1, inval),
        (44, -50 - 256 + 40, 0),
        (54, -4, inval),
        (44, 216, 0),
        (54, -3, acces),
        (54, -252, inval),
        (54, -256, inval),
        (54, 4, inval),
        (54, -212, 0),
        (54, 212, 0),
        (54, 4, inval),
        (54, -216, 0),
        (54, 216, 0),
        (65, -51, inval),
        (65, -50, 0),
        (65, 50, 0),
        (54, -8, 0),
        (44, -208, 0),
        (44, -207, inval),
        (44, 8, 0),
        (54, -5, acces),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(call(&mut bench, id, &[0, d(delta)]), expected, "step {step}: {id}({delta})");
    }
}

#[test]
fn metadata_moves_with_the_head() {
    let mut bench = Bench::new(&env());
    assert_eq!(call(&mut bench, 54, &[0, u64::from(-4i32 as u32)]), 0);
    // SAFETY: four bytes of metadata are there now.
    unsafe { bench.ctx.data_meta.cast::<u32>().write_unaligned(0x1122_3344) };
    for delta in [-20i32, 30] {
        assert_eq!(call(&mut bench, 44, &[0, u64::from(delta as u32)]), 0);
        assert_eq!(bench.ctx.data as usize - bench.ctx.data_meta as usize, 4);
        // SAFETY: as above.
        assert_eq!(unsafe { bench.ctx.data_meta.cast::<u32>().read_unaligned() }, 0x1122_3344);
    }
}

#[test]
fn a_grown_tail_is_zero_and_ends_at_the_buffers() {
    let mut bench = Bench::new(&env());
    bench.packet(&[7; 64]);
    assert_eq!(call(&mut bench, 65, &[0, 101]), err(Errno::EINVAL));
    assert_eq!(call(&mut bench, 65, &[0, 100]), 0);
    assert_eq!(bench.bytes()[..64], [7; 64]);
    assert_eq!(bench.bytes()[64..], [0; 100]);
    assert_eq!(call(&mut bench, 188, &[]), 164);
}

#[test]
fn packet_bytes_are_copied_within_its_length() {
    let mut bench = Bench::new(&env());
    let mut packet = [0; 64];
    for (i, b) in packet.iter_mut().enumerate() {
        *b = i as u8;
    }
    bench.packet(&packet);
    let mut out = [0u8; 64];
    let to = out.as_mut_ptr() as u64;
    let (inval, fault) = (err(Errno::EINVAL), err(Errno::EFAULT));
    for (offset, len, expected) in [
        (0u64, 14, 0),
        (60, 5, inval),
        (60, 4, 0),
        (0x10000, 4, fault),
        (0xffff, 4, inval),
        (0xffff_ffff, 4, fault),
        (0, 0x10000, fault),
        (64, 1, inval),
        (0, 64, 0),
    ] {
        assert_eq!(call(&mut bench, 189, &[0, offset, to, len]), expected, "load {offset:#x} {len}");
    }
    assert_eq!(out, packet);
    let from = [0xaau8; 4];
    assert_eq!(call(&mut bench, 190, &[0, 62, ptr(&from), 4]), inval);
    assert_eq!(call(&mut bench, 190, &[0, 60, ptr(&from), 4]), 0);
    assert_eq!(bench.bytes()[59..], [59, 0xaa, 0xaa, 0xaa, 0xaa]);
}

#[test]
fn maps_answer_by_slot_with_the_kernels_errors() {
    let env = env();
    let m = map(&env, MapType::PercpuArray, 4, 8, 2);
    let map = crate::sync::Arc::as_ptr(&m) as u64;
    let (key, value) = (1u32, 55u64);
    let mut zero = Bench::in_slot(&env, 0);
    let mut one = Bench::in_slot(&env, 1);
    assert_eq!(call(&mut one, 2, &[map, ptr(&key), ptr(&value), 0]), 0);
    let at = |bench: &mut Bench| {
        let p = call(bench, 1, &[map, ptr(&key)]) as u64 as *const u64;
        // SAFETY: the key exists.
        unsafe { p.read() }
    };
    assert_eq!((at(&mut zero), at(&mut one)), (0, 55));
    let beyond = 2u32;
    assert_eq!(call(&mut one, 1, &[map, ptr(&beyond)]), 0);
    assert_eq!(call(&mut one, 2, &[map, ptr(&beyond), ptr(&value), 0]), err(Errno::E2BIG));
    assert_eq!(call(&mut one, 2, &[map, ptr(&key), ptr(&value), 1]), err(Errno::EEXIST));
    assert_eq!(call(&mut one, 2, &[map, ptr(&key), ptr(&value), 9]), err(Errno::EINVAL));
    assert_eq!(call(&mut one, 3, &[map, ptr(&key)]), err(Errno::EINVAL));
}

#[test]
fn time_cpu_and_random_numbers() {
    let env = env();
    let mut bench = Bench::in_slot(&env, 1);
    assert_eq!(call(&mut bench, 5, &[]), 1, "the test's clock");
    assert_eq!(call(&mut bench, 8, &[]), 1);
    let drawn: std::collections::BTreeSet<i64> = (0..1000).map(|_| call(&mut bench, 7, &[])).collect();
    assert!(drawn.len() > 995, "{} different of 1000", drawn.len());
    assert!(drawn.iter().all(|&n| (0..1 << 32).contains(&n)));
    let ones: u32 = drawn.iter().map(|n| n.count_ones()).sum();
    assert!((15_000..17_000).contains(&ones), "{ones} of 32,000 bits");
}

/// The printed line without its head, or what the helper returned instead.
fn trace(format: &[u8], args: [u64; 3]) -> Result<(i64, String), i64> {
    let env = env();
    let mut bench = Bench::new(&env);
    let [a, b, c] = args;
    let len = call(&mut bench, 6, &[format.as_ptr() as u64, format.len() as u64, a, b, c]);
    let mut out = [0; 512];
    let n = env.trace_read(&mut out);
    if len < 0 {
        assert_eq!(n, 0, "a refused format prints nothing");
        return Err(len);
    }
    let line = String::from_utf8(out[..n].to_vec()).unwrap();
    let text = line.split_once("bpf_trace_printk: ").unwrap().1;
    Ok((len, text.strip_suffix('\n').unwrap().into()))
}

#[test]
fn trace_formats_print_as_the_kernel_prints_them() {
    let m1 = u64::MAX;
    let cases: &[(&[u8], [u64; 3], i64, &str)] = &[
        (b"a\0", [0; 3], 1, "a"),
        (b"a%d\n\0", [-5i64 as u64, 0, 0], 4, "a-5"),
        (b"%u %lu %llu\0", [1, 1 << 40, 3], 17, "1 1099511627776 3"),
        (b"%x %X %lx\0", [0xabcd, m1, m1], 30, "abcd FFFFFFFF ffffffffffffffff"),
        (b"%5d|%-5d|%05d\0", [42; 3], 17, "   42|42   |00042"),
        (b"%c\0", [65, 0, 0], 1, "A"),
        (b"%p\0", [0x1234, 0, 0], 16, "0000000000001234"),
        (b"%px\0", [0x1234, 0, 0], 16, "0000000000001234"),
        (b"%+d % d\0", [5; 3], 5, "+5  5"),
        (b"%%\0", [0; 3], 1, "%"),
        (b"%d%d%d\0", [1, 2, 3], 3, "123"),
        (b"%i\0", [7, 0, 0], 1, "7"),
        (b"%s\0", [1, 0, 0], 0, ""),
        (b"%ca\0", [65, 0, 0], 2, "Aa"),
        (b"%pB\0", [0xffff_c900_0c29_7858, 0, 0], 18, "0xffffc9000c297858"),
        (b"%lld\0", [m1, 0, 0], 2, "-1"),
        (b"%pi4\0", [1, 0, 0], 15, "000.000.000.000"),
        (b"%+-05d|\0", [7, 0, 0], 6, "+7   |"),
        (b"%0-5d|\0", [7, 0, 0], 6, "7    |"),
        (b"%+x\0", [5, 0, 0], 1, "5"),
        (b"%p\0", [0, 0, 0], 16, "0000000000000000"),
        (b"%s\0", [0, 0, 0], 0, ""),
        (b"%5c|\0", [65, 0, 0], 6, "    A|"),
        (b"%pI6\0", [1, 0, 0], 39, "0000:0000:0000:0000:0000:0000:0000:0000"),
        (b"a\0%q\0", [0; 3], 1, "a"),
        (b"%ld\0", [i64::MIN as u64, 0, 0], 20, "-9223372036854775808"),
    ];
    for &(format, args, len, text) in cases {
        assert_eq!(trace(format, args), Ok((len, text.into())), "{}", format.escape_ascii());
    }
}

#[test]
fn trace_formats_that_the_kernel_refuses_are_refused() {
    for format in [
        b"%q\0".as_slice(),
        b"%sx\0",
        b"\x01\0",
        b"%hd\0",
        b"%.3d\0",
        b"%#x\0",
        b"%\0",
        b"%l\0",
        b"%d%d%d%d\0",
        b"%p4\0",
        b"%lc\0",
        b"ab",
        b"\xc3\xa4\0",
    ] {
        assert_eq!(trace(format, [1, 2, 3]), Err(err(Errno::EINVAL)), "{}", format.escape_ascii());
    }
}

#[test]
fn trace_prints_texts_and_addresses_of_the_packet() {
    let env = env();
    let mut bench = Bench::new(&env);
    let mut packet = [0; 64];
    packet[..6].copy_from_slice(b"hello\0");
    packet[20..24].copy_from_slice(&[192, 168, 0, 1]);
    packet[63] = b'x';
    bench.packet(&packet);
    let data = bench.ctx.data as u64;
    let mut print = |format: &[u8], at: u64| {
        let args = [format.as_ptr() as u64, format.len() as u64, data + at];
        let len = call(&mut bench, 6, &args) as usize;
        let mut out = [0; 512];
        let n = env.trace_read(&mut out);
        String::from_utf8(out[n - 1 - len..n - 1].to_vec()).unwrap()
    };
    assert_eq!(print(b"%10s|\0", 0), "     hello|");
    assert_eq!(print(b"%-7s|\0", 0), "hello  |");
    assert_eq!(print(b"%pks\0", 1), "ello");
    assert_eq!(print(b"%pI4\0", 20), "192.168.0.1");
    assert_eq!(print(b"%pi4\0", 20), "192.168.000.001");
    assert_eq!(print(b"%s\0", 63), "x", "ends with the packet");
    assert_eq!(print(b"%s\0", 64), "");
}
