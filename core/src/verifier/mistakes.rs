//! Mistakes that other verifiers made in their numbers, one test each, and the precision that real programs need.

use crate::verifier::alu::{AluOp, Width, alu};
use crate::verifier::range::Range;
use crate::verifier::refine::{Cond, decide, refine};
use crate::verifier::scalar::Scalar;
use crate::verifier::tnum::Tnum;

use AluOp::*;
use Width::{W32, W64};

const MIN64: u64 = 1 << 63;
const MIN32: u64 = 1 << 31;

fn c(v: u64) -> Scalar {
    Scalar::constant(v)
}

fn span(lo: u64, hi: u64) -> Scalar {
    Scalar::from_unsigned(lo, hi)
}

/// A value of which the low half only is known to be from `lo` to `hi`.
fn low_span(lo: u64, hi: u64) -> Scalar {
    Scalar::new(Tnum::UNKNOWN, &Range::FULL, &Range::unsigned_span(lo, hi)).unwrap()
}

#[test]
fn cve_2017_16995_move_of_a_negative_word_is_zero_extended() {
    // w2 = -1; if r2 != 0xffffffff: never.
    let moved = c(-1i64 as u64).zext_32();
    assert_eq!(moved.known(), Some(0xffff_ffff));
    assert_eq!(decide(Cond::Ne, W64, &moved, &c(0xffff_ffff)), Some(false));
    assert_eq!(c(0x8000_0000).sign_extend(32, W64).known(), Some(0xffff_ffff_8000_0000));
    assert_eq!(c(0x80).sign_extend(8, W32).known(), Some(0xffff_ff80));
}

#[test]
fn cve_2017_16996_word_results_are_truncated_and_signed_shifts_keep_their_sign() {
    let sum = alu(Add, W32, &span(0xffff_fff0, 0x1_0000_0010), &c(0x10));
    assert!(sum.umax() <= 0xffff_ffff && sum.contains(0) && sum.contains(0x20));
    let shifted = alu(Arsh, W64, &Scalar::from_signed(-8, 8), &c(1));
    assert_eq!((shifted.smin(), shifted.smax()), (-4, 4));
    let low = alu(Arsh, W32, &c(MIN32), &c(31));
    assert_eq!(low.known(), Some(0xffff_ffff));
    let either = alu(Arsh, W64, &span(0, u64::MAX), &span(0, 63));
    assert!(either.contains(u64::MAX) && either.contains(1 << 62));
}

#[test]
fn cve_2018_18445_word_shift_uses_word_bounds() {
    // r0 = 2 << 32 | 2: w0 >>= 31 sees the low word, 2, only.
    assert_eq!(alu(Rsh, W32, &c(0x2_0000_0002), &c(31)).known(), Some(0));
    let unknown_high = alu(Rsh, W32, &low_span(2, 3), &c(1));
    assert_eq!(unknown_high.known(), Some(1));
    assert_eq!(alu(Rsh, W32, &c(0x1_0000_0000), &c(0)).known(), Some(0));
}

#[test]
fn cve_2020_8835_word_compare_tells_nothing_of_the_high_word() {
    let (a, _) = refine(Cond::Lt, W32, &Scalar::unknown(), &c(5)).unwrap();
    assert_eq!((a.u32_max(), a.umax()), (4, 0xffff_ffff_0000_0004));
    assert!(a.contains(0xdead_0000_0003));
    let (a, _) = refine(Cond::Eq, W32, &span(0, 0x1_0000_0000), &c(0)).unwrap();
    assert!(a.contains(0) && a.contains(0x1_0000_0000));
    let (a, _) = refine(Cond::Ne, W32, &span(0, 0x1_0000_0000), &c(0)).unwrap();
    assert_eq!((a.umin(), a.umax()), (1, 0xffff_ffff));
    assert_eq!(decide(Cond::Eq, W32, &c(0x1_0000_0000), &c(0)), Some(true));
}

#[test]
fn cve_2020_27194_word_bounds_of_or_come_from_the_low_words() {
    // r5 in [1, 0x600000001], r5 |= 0: the low word can be anything.
    let a = span(1, 0x6_0000_0001);
    let ored = alu(Or, W64, &a, &c(0));
    assert!(ored.contains(0x5_ffff_ffff) && ored.contains(0x2_0000_0000));
    assert_eq!((ored.u32_min(), ored.u32_max()), (0, u32::MAX));
    assert_eq!(ored, a);
}

#[test]
fn cve_2021_3490_word_bounds_of_and_or_xor_survive_a_known_low_word() {
    // The low word is known to be 1 but the high one is not.
    let a = Scalar::from_tnum(Tnum::new(1, 0xffff_ffff_0000_0000));
    let b = c(0x1_0000_0002);
    for (op, low) in [(And, 0), (Or, 3), (Xor, 3)] {
        let r = alu(op, W64, &a, &b);
        assert_eq!((r.known_low(), r.u32_min(), r.u32_max()), (Some(low), low as u32, low as u32), "{op:?}");
        assert!(!r.is_const() || op == And);
    }
    assert_eq!(alu(And, W64, &a, &b).tnum(), Tnum::new(0, 0x1_0000_0000));
}

#[test]
fn cve_2021_31440_word_bounds_need_both_wide_bounds_to_fit() {
    // The minimum fits a word, the maximum does not: the low word is not bounded below.
    let a = span(0x10, 0x1_0000_0000);
    assert_eq!((a.u32_min(), a.u32_max()), (0, u32::MAX));
    let b = Scalar::from_signed(1, 1 << 32);
    assert_eq!((b.s32_min(), b.s32_max()), (i32::MIN, i32::MAX));
    let d = Scalar::from_signed(-(1 << 33), 5);
    assert_eq!((d.s32_min(), d.s32_max()), (i32::MIN, i32::MAX));
}

#[test]
fn cve_2021_3444_word_modulo_by_zero_truncates_its_dividend() {
    let a = c(0xdead_beef_0000_0007);
    assert_eq!(alu(Mod, W32, &a, &c(0)).known(), Some(7));
    assert_eq!(alu(Mod, W64, &a, &c(0)), a);
    assert_eq!(alu(Smod, W32, &a, &c(0)).known(), Some(7));
    assert_eq!(alu(Div, W32, &a, &c(0)).known(), Some(0));
    let maybe = alu(Mod, W64, &c(100), &span(0, 8));
    assert!(maybe.contains(100) && maybe.contains(4));
}

#[test]
fn cve_2021_3600_word_division_tests_the_low_word_of_its_divisor() {
    // The divisor is not zero, but its low word is.
    let divisor = c(0x1_0000_0000);
    assert_eq!(alu(Div, W32, &c(9), &divisor).known(), Some(0));
    assert_eq!(alu(Mod, W32, &c(9), &divisor).known(), Some(9));
    let either = alu(Div, W32, &c(9), &Scalar::from_tnum(Tnum::new(0x1_0000_0000, 1)));
    assert!(either.contains(0) && either.contains(9));
}

#[test]
fn cve_2024_49888_signed_division_of_the_minimum_by_minus_one_wraps() {
    let minus = c(u64::MAX);
    assert_eq!(alu(Sdiv, W64, &c(MIN64), &minus).known(), Some(MIN64));
    assert_eq!(alu(Smod, W64, &c(MIN64), &minus).known(), Some(0));
    let near = alu(Sdiv, W64, &Scalar::from_signed(i64::MIN, i64::MIN + 1), &minus);
    assert!(near.contains(MIN64) && near.contains(i64::MAX as u64));
    let any = alu(Sdiv, W64, &Scalar::unknown(), &Scalar::unknown());
    assert!(any.contains(MIN64) && any.contains(0));
}

#[test]
fn cve_2026_31525_signed_word_division_of_the_minimum_wraps_in_32_bits() {
    let minus = c(0xffff_ffff);
    assert_eq!(alu(Sdiv, W32, &c(MIN32), &minus).known(), Some(MIN32));
    assert_eq!(alu(Smod, W32, &c(MIN32), &minus).known(), Some(0));
    // As a 64-bit number it is positive: the signed word division must not see that.
    assert_eq!(alu(Sdiv, W32, &c(MIN32), &c(2)).known(), Some(0xc000_0000));
    assert_eq!(alu(Smod, W32, &c(0x8000_0001), &c(2)).known(), Some(0xffff_ffff));
    assert!(alu(Smod, W32, &low_span(MIN32, MIN32 + 5), &c(3)).contains(0xffff_fffe));
}

#[test]
fn cve_2026_31413_or_with_a_sign_mask_keeps_both_cases_apart() {
    // r = x s>> 63 is 0 or -1. `& c` gives 0 or c, `| c` gives c or -1.
    let sign = alu(Arsh, W64, &Scalar::unknown(), &c(63));
    assert_eq!((sign.smin(), sign.smax()), (-1, 0));
    let (and, or) = (alu(And, W64, &sign, &c(8)), alu(Or, W64, &sign, &c(8)));
    assert!(and.contains(0) && and.contains(8) && !and.contains(u64::MAX));
    assert!(or.contains(8) && or.contains(u64::MAX) && !or.contains(0));
}

#[test]
fn cve_2023_2163_equal_words_do_not_make_equal_registers() {
    let (a, b) = refine(Cond::Eq, W32, &Scalar::unknown(), &span(0, 9)).unwrap();
    assert!(a.contains(0xffff_0000_0000_0003) && !b.contains(0xffff_0000_0000_0003));
}

#[test]
fn branch_on_a_bit_sets_or_clears_it() {
    let (a, _) = refine(Cond::Set, W64, &Scalar::unknown(), &c(8)).unwrap();
    assert_eq!(a.tnum(), Tnum::new(8, !8));
    let (a, _) = refine(Cond::Nset, W64, &Scalar::unknown(), &c(7)).unwrap();
    assert!(a.tnum().is_aligned(8));
    let (a, _) = refine(Cond::Set, W32, &Scalar::unknown(), &c(MIN32)).unwrap();
    assert_eq!((a.s32_max(), a.u32_min()), (-1, MIN32 as u32));
    assert_eq!(decide(Cond::Set, W64, &span(0, 7), &c(8)), Some(false));
    assert_eq!(decide(Cond::Set, W64, &c(12), &c(8)), Some(true));
}

#[test]
fn conditions_negate_and_swap_consistently() {
    for op in Cond::ALL {
        assert_eq!(op.negate().negate(), op);
        assert_eq!(op.swap().swap(), op);
        for (x, y) in [(1, 2), (2, 2), (u64::MAX, 2)] {
            let is = decide(op, W64, &c(x), &c(y));
            assert_eq!(decide(op.negate(), W64, &c(x), &c(y)), is.map(|is| !is));
            assert_eq!(decide(op.swap(), W64, &c(y), &c(x)), is);
        }
    }
}

/// What clang emits around lengths and indexes keeps its bounds.
#[test]
fn idioms_of_real_programs_keep_their_bounds() {
    let word = |s: Scalar| alu(Lsh, W64, &s, &c(32));
    // Extension of a word by two shifts.
    let len = low_span(0, 1500);
    assert_eq!(alu(Rsh, W64, &word(len), &c(32)), span(0, 1500));
    let signed = Scalar::new(Tnum::UNKNOWN, &Range::FULL, &Range::signed_span(-95, 1500)).unwrap();
    let extended = alu(Arsh, W64, &word(signed), &c(32));
    assert_eq!((extended.smin(), extended.smax()), (-95, 1500));
    // IP header length: (byte & 15) << 2, at least 20.
    let ihl = alu(Lsh, W64, &alu(And, W64, &span(0, 255), &c(15)), &c(2));
    assert_eq!((ihl.umin(), ihl.umax(), ihl.tnum().is_aligned(4)), (0, 60, true));
    let (ihl, _) = refine(Cond::Ge, W64, &ihl, &c(18)).unwrap();
    assert_eq!((ihl.umin(), ihl.umax()), (20, 60));
    // A hash modulo a table size, by a constant and by a bounded value.
    assert_eq!(alu(Mod, W64, &Scalar::unknown(), &c(1000)).umax(), 999);
    assert_eq!(alu(Mod, W32, &Scalar::unknown(), &span(1, 16)).umax(), 15);
    assert_eq!(alu(Div, W64, &span(0, 1500), &c(8)).umax(), 187);
    // A signed check on a word, then its use as an index.
    let (i, _) = refine(Cond::Sgt, W32, &Scalar::unknown().zext_32(), &c(u64::MAX)).unwrap();
    let (i, _) = refine(Cond::Slt, W32, &i, &c(64)).unwrap();
    assert_eq!(i, span(0, 63));
    // Subtraction of lengths that cannot wrap.
    let rest = alu(Sub, W64, &c(1500), &span(20, 60));
    assert_eq!((rest.umin(), rest.umax()), (1440, 1480));
    // A helper's result: an error or a count.
    let ret = Scalar::from_signed(-4095, 512);
    let (ok, _) = refine(Cond::Sge, W64, &ret, &c(0)).unwrap();
    assert_eq!((ok.umax(), ok.u32_max()), (512, 512));
    // Port in network order, then compared.
    assert_eq!(span(0, u64::MAX).swap_bytes(16).umax(), 0xffff);
    assert_eq!(c(80).swap_bytes(16).known(), Some(0x5000));
}

/// Where the kernel before 6.14 learned nothing from the other width.
#[test]
fn widths_refine_each_other_at_their_edges() {
    // A value below 2^32 whose low word is at least 5 is at least 5; one up to 2^32 too.
    let (a, _) = refine(Cond::Ge, W32, &span(0, 1 << 32), &c(5)).unwrap();
    assert_eq!((a.umin(), a.umax()), (5, 0xffff_ffff));
    // A span across a multiple of 2^32 is a signed span of the low word.
    let b = span(0xffff_fffe, 0x1_0000_0003);
    assert_eq!((b.s32_min(), b.s32_max()), (-2, 3));
    // Unsigned bounds with one sign only in common with the signed ones.
    let d = Scalar::new(Tnum::UNKNOWN, &Range::new(3, u64::MAX - 9, -5, 100), &Range::FULL).unwrap();
    assert_eq!((d.smin(), d.umax()), (3, 100));
}
