//! Every abstract operator against its concrete operation, on every abstract value of a few bits.
//!
//! A concretisation is a set of bits: bit x says that x is a member. A result is sound if it has the image of the members, and
//! consistent if it is not empty.

use crate::verifier::alu::{AluOp, Width, alu, lane_op};
use crate::verifier::lane::Lane;
use crate::verifier::oracle::{Random, compute, cut, holds, signed};
use crate::verifier::range::Range;
use crate::verifier::refine::{Cond, decide, refine, refine_lane};
use crate::verifier::scalar::Number;
use crate::verifier::tnum::{Tnum, ones};
use std::collections::HashSet;

/// All tnums of `bits` bits.
fn tnums(bits: u32) -> Vec<Tnum> {
    let all = 0..1u64 << bits;
    let pairs = all.clone().flat_map(|v| all.clone().map(move |m| (v, m)));
    pairs.filter(|(v, m)| v & m == 0).map(|(v, m)| Tnum::new(v, m)).collect()
}

/// All ranges of `B` bits that are not empty.
fn ranges<const B: u32>() -> Vec<Range<B>> {
    let half = 1u64 << (B - 1);
    let spans = (0..half).flat_map(|lo| (lo..half).map(move |hi| Some((lo, hi))));
    let parts: Vec<_> = core::iter::once(None).chain(spans).collect();
    let join = |p: &Option<(u64, u64)>, n: &Option<(u64, u64)>| {
        let mut r = Range::EMPTY;
        if let Some((lo, hi)) = *p {
            r.cover(lo, hi);
        }
        if let Some((lo, hi)) = *n {
            r.cover(half + lo, half + hi);
        }
        r
    };
    let all = parts.iter().flat_map(|p| parts.iter().map(move |n| join(p, n)));
    all.filter(|r| !r.is_empty()).collect()
}

/// All lanes of `B` bits.
fn lanes<const B: u32>() -> Vec<Lane<B>> {
    let (tnums, ranges) = (tnums(B), ranges::<B>());
    let all: HashSet<Lane<B>> =
        tnums.iter().flat_map(|t| ranges.iter().filter_map(|r| Lane::new(*t, *r))).collect();
    let mut all: Vec<Lane<B>> = all.into_iter().collect();
    all.sort_by_key(|l| {
        (l.tnum().value(), l.tnum().mask(), l.range().umin(), l.range().umax(), l.range().smin())
    });
    all
}

fn set(bits: u32, contains: impl Fn(u64) -> bool) -> u64 {
    (0..1u64 << bits).filter(|x| contains(*x)).fold(0, |s, x| s | 1 << x)
}

fn members(set: u64) -> impl Iterator<Item = u64> {
    (0..64).filter(move |x| set >> x & 1 == 1)
}

/// The smallest tnum with the members of `set`.
fn best(set: u64) -> Option<Tnum> {
    members(set).map(Tnum::constant).reduce(Tnum::union)
}

/// The set of `f(x, y)` over members of two sets.
fn image(a: u64, b: u64, f: impl Fn(u64, u64) -> u64) -> u64 {
    members(a).fold(0, |s, x| members(b).fold(s, |s, y| s | 1 << f(x, y)))
}

/// The operators that a width allows: masking a shift amount needs a power of two.
fn ops(bits: u32) -> impl Iterator<Item = AluOp> {
    let shifts = [AluOp::Lsh, AluOp::Rsh, AluOp::Arsh];
    AluOp::ALL.into_iter().filter(move |op| bits.is_power_of_two() || !shifts.contains(op))
}

#[test]
fn tnum_operators_are_sound_in_five_bits_at_both_ends() {
    type Binary = fn(Tnum, Tnum) -> Tnum;
    let table: [(AluOp, Binary); 6] = [
        (AluOp::Add, |a, b| a + b),
        (AluOp::Sub, |a, b| a - b),
        (AluOp::Mul, |a, b| a * b),
        (AluOp::And, |a, b| a & b),
        (AluOp::Or, |a, b| a | b),
        (AluOp::Xor, |a, b| a ^ b),
    ];
    let all: Vec<(Tnum, u64)> = tnums(5).into_iter().map(|t| (t, set(5, |x| t.contains(x)))).collect();
    for (op, f) in table {
        for (a, sa) in &all {
            for (b, sb) in &all {
                let exact = image(*sa, *sb, |x, y| compute(op, 5, x, y));
                let low = f(*a, *b).truncate(5);
                assert_eq!(exact & !set(5, |x| low.contains(x)), 0, "{a:?} {op:?} {b:?}");
                if op != AluOp::Mul {
                    assert_eq!(Some(low), best(exact), "{a:?} {op:?} {b:?}");
                    let high = f(a.lsh(59), b.lsh(59));
                    assert_eq!(high.rsh(59), low, "{a:?} {op:?} {b:?} at the top");
                }
            }
        }
    }
}

#[test]
fn tnum_sets_casts_and_searches_are_exact_in_five_bits() {
    let all = tnums(5);
    for a in &all {
        let sa = set(5, |x| a.contains(x));
        for b in &all {
            let sb = set(5, |x| b.contains(x));
            assert_eq!(a.subset_of(*b), sa & !sb == 0, "{a:?} {b:?}");
            assert_eq!(a.overlap(*b), sa & sb != 0, "{a:?} {b:?}");
            assert_eq!(a.intersect(*b).map_or(0, |t| set(5, |x| t.contains(x))), sa & sb, "{a:?} {b:?}");
            let union = a.union(*b);
            assert_eq!((sa | sb) & !set(5, |x| union.contains(x)), 0);
        }
        for x in 0..32 {
            assert_eq!(a.first_at_least(x), members(sa).find(|y| *y >= x), "{a:?} from {x}");
            assert_eq!(a.last_at_most(x), members(sa).filter(|y| *y <= x).last(), "{a:?} to {x}");
            let span = Tnum::range(x, 31);
            assert!((x..32).all(|y| span.contains(y)));
        }
        for k in 0..5 {
            let exact = image(sa, 1, |x, _| cut(signed(x, 5) >> k, 5));
            assert_eq!(Some(a.arsh(k, 5)), best(exact), "{a:?} s>> {k}");
            assert_eq!(a.is_aligned(1 << k), members(sa).all(|x| x % (1 << k) == 0));
        }
        for n in 1..=5 {
            assert_eq!(set(5, |x| a.truncate(n).contains(x)), image(sa, 1, |x, _| x & ones(n)));
            let exact = image(sa, 1, |x, _| cut(signed(x & ones(n), n), 5));
            assert_eq!(Some(a.sign_extend(n).truncate(5)), best(exact), "{a:?} from {n}");
        }
    }
    let t = Tnum::new(0x1200_0000_0000_0034, 0xff_0000_ff00);
    assert_eq!(t.subreg(), Tnum::new(0x34, 0xff00));
    assert_eq!(t.clear_subreg(), Tnum::new(0x1200_0000_0000_0000, 0xff_0000_0000));
    assert_eq!(t.const_subreg(7), t.clear_subreg().with_subreg(Tnum::constant(7)));
    assert_eq!(t.cast(1), Tnum::constant(0x34));
    assert_eq!(t.swap_bytes(16), Tnum::new(0x3400, 0xff));
    assert_eq!(t.swap_bytes(64), Tnum::new(0x3400_0000_0000_0012, 0x00ff_0000_ff00_0000));
}

#[test]
fn ranges_are_sets_of_two_intervals_in_four_bits() {
    let all: Vec<(Range<4>, u64)> =
        ranges::<4>().into_iter().map(|r| (r, set(4, |x| r.contains(x)))).collect();
    for (a, sa) in &all {
        let parts = a.parts().fold(0, |s, p| s | set(4, |x| p.lo <= x && x <= p.hi));
        assert_eq!(parts, *sa);
        assert_eq!(Range::new(a.umin(), a.umax(), a.smin(), a.smax()), *a);
        assert_eq!(set(6, |x| a.zero_extend::<6>().contains(x)) & *sa, *sa);
        let wide = image(*sa, 1, |x, _| cut(signed(x, 4), 6));
        assert_eq!(wide & !set(6, |x| a.sign_extend::<6>().contains(x)), 0);
        let low = image(*sa, 1, |x, _| x & 7);
        assert_eq!(low & !set(3, |x| a.truncate::<3>().contains(x)), 0);
        for (b, sb) in &all {
            assert_eq!(a.subset_of(b), sa & !sb == 0, "{a:?} {b:?}");
            let (meet, join) = (a.meet(b), a.join(b));
            assert_eq!(set(4, |x| meet.contains(x)), sa & sb, "{a:?} {b:?}");
            assert_eq!((sa | sb) & !set(4, |x| join.contains(x)), 0, "{a:?} {b:?}");
        }
    }
    for r in ranges::<5>() {
        for low in ranges::<2>() {
            let exact = set(5, |x| r.contains(x) && low.contains(x & 3));
            let restricted = r.restrict_low(&low);
            let best = members(exact).map(Range::<5>::constant).fold(Range::EMPTY, |a, b| a.join(&b));
            assert_eq!(restricted, best, "{r:?} {low:?}");
        }
    }
}

#[test]
fn lane_reduction_loses_nothing_in_four_bits() {
    for t in tnums(4) {
        for r in ranges::<4>() {
            let exact = set(4, |x| t.contains(x) && r.contains(x));
            let lane = Lane::new(t, r);
            assert_eq!(lane.map_or(0, |l| set(4, |x| l.contains(x))), exact, "{t:?} {r:?}");
            if let Some(l) = lane {
                assert_eq!(Lane::new(l.tnum(), *l.range()), Some(l), "{t:?} {r:?} is stable");
                assert!(l.contains(l.range().umin()) && l.contains(l.range().umax()));
            }
        }
    }
}

/// Each operator and each comparison over the given pairs of lanes.
fn check_lanes<const B: u32>() {
    let all: Vec<(Lane<B>, u64)> = lanes::<B>().into_iter().map(|l| (l, set(B, |x| l.contains(x)))).collect();
    for op in ops(B) {
        // Row y of x's table: x op y. The image of a pair is an or of table rows.
        let table: Vec<Vec<u64>> =
            (0..1u64 << B).map(|x| (0..1u64 << B).map(|y| 1 << compute(op, B, x, y)).collect()).collect();
        for (a, sa) in &all {
            for (b, sb) in &all {
                let image = members(*sa)
                    .fold(0, |s, x| members(*sb).fold(s, |s, y| s | table[x as usize][y as usize]));
                let result = lane_op(op, a, b);
                assert_eq!(image & !set(B, |x| result.contains(x)), 0, "{a:?} {op:?} {b:?} = {result:?}");
                assert!(
                    sa.count_ones() * sb.count_ones() > 1 || result.known().is_some(),
                    "{a:?} {op:?} {b:?}"
                );
            }
        }
    }
    for op in Cond::ALL {
        for (a, sa) in &all {
            for (b, sb) in &all {
                let left = set(B, |x| sa >> x & 1 == 1 && members(*sb).any(|y| holds(op, B, x, y)));
                let right = set(B, |y| sb >> y & 1 == 1 && members(*sa).any(|x| holds(op, B, x, y)));
                let refined = refine_lane(op, a, b);
                let (x, y) =
                    refined.map_or((0, 0), |(x, y)| (set(B, |v| x.contains(v)), set(B, |v| y.contains(v))));
                assert_eq!((left & !x, right & !y), (0, 0), "{a:?} {op:?} {b:?}");
                assert_eq!((x & !sa, y & !sb), (0, 0), "{a:?} {op:?} {b:?} only narrows");
            }
        }
    }
    for (a, sa) in &all {
        for (b, sb) in &all {
            let join = a.join(b);
            assert_eq!((sa | sb) & !set(B, |x| join.contains(x)), 0, "{a:?} {b:?}");
            let meet = a.meet(b).map_or(0, |m| set(B, |x| m.contains(x)));
            assert_eq!(meet, sa & sb, "{a:?} {b:?}");
        }
    }
}

#[test]
fn lane_operators_are_sound_for_every_pair_in_three_bits() {
    check_lanes::<3>();
}

#[test]
fn lane_operators_are_sound_for_every_pair_in_four_bits() {
    check_lanes::<4>();
}

/// Numbers of `W` bits with a low half of `H`: each combination of parts, thinned to about `count`.
fn numbers<const W: u32, const H: u32>(count: usize) -> Vec<Number<W, H>> {
    let (tnums, wides, lows) = (tnums(W), ranges::<W>(), ranges::<H>());
    let mut random = Random(0x9e37_79b9);
    let total = tnums.len() * wides.len() * lows.len();
    let mut all = HashSet::new();
    let mut check = |t: Tnum, w: &Range<W>, l: &Range<H>| {
        let exact = set(W, |x| t.contains(x) && w.contains(x) && l.contains(x & ones(H)));
        let number = Number::new(t, w, l);
        let kept = number.map_or(0, |n| set(W, |x| n.contains(x)));
        assert_eq!(exact & !kept, 0, "{t:?} {w:?} {l:?}");
        if exact != 0 {
            all.extend(number);
        }
    };
    if total <= count {
        for t in &tnums {
            for w in &wides {
                lows.iter().for_each(|l| check(*t, w, l));
            }
        }
    } else {
        for _ in 0..count {
            check(random.pick(&tnums), &random.pick(&wides), &random.pick(&lows));
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|n| {
        (
            n.tnum().value(),
            n.tnum().mask(),
            n.umin(),
            n.umax(),
            n.smin(),
            n.smax(),
            n.u32_min(),
            n.u32_max(),
            n.s32_min(),
        )
    });
    all
}

/// Each operator, comparison, join and subset over random pairs of numbers, at both widths.
fn check_numbers<const W: u32, const H: u32>(all: &[Number<W, H>], rounds: usize) {
    let mut random = Random(0x1234_5678_9abc);
    let gamma = |n: &Number<W, H>| set(W, |x| n.contains(x));
    for _ in 0..rounds {
        let (a, b) = (random.pick(all), random.pick(all));
        let (sa, sb) = (gamma(&a), gamma(&b));
        assert!(!a.subset_of(&b) || sa & !sb == 0, "{a:?} in {b:?}");
        let join = a.join(&b);
        assert!(a.subset_of(&join) && b.subset_of(&join) && (sa | sb) & !gamma(&join) == 0, "{a:?} or {b:?}");
        for (width, bits) in [(Width::W64, W), (Width::W32, H)] {
            let m = ones(bits);
            for op in ops(W) {
                let result = alu(op, width, &a, &b);
                let exact = image(sa, sb, |x, y| compute(op, bits, x & m, y & m));
                assert_eq!(exact & !gamma(&result), 0, "{a:?} {op:?} {width:?} {b:?} = {result:?}");
            }
            for op in Cond::ALL {
                let is = |x: u64, y: u64| holds(op, bits, x & m, y & m);
                let left = set(W, |x| sa >> x & 1 == 1 && members(sb).any(|y| is(x, y)));
                let right = set(W, |y| sb >> y & 1 == 1 && members(sa).any(|x| is(x, y)));
                let (x, y) = refine(op, width, &a, &b).map_or((0, 0), |(x, y)| (gamma(&x), gamma(&y)));
                assert_eq!((left & !x, right & !y), (0, 0), "{a:?} {op:?} {width:?} {b:?}");
                let never = members(sa).all(|x| members(sb).all(|y| !is(x, y)));
                let always = members(sa).all(|x| members(sb).all(|y| is(x, y)));
                match decide(op, width, &a, &b) {
                    Some(true) => assert!(always, "{a:?} {op:?} {width:?} {b:?}"),
                    Some(false) => assert!(never, "{a:?} {op:?} {width:?} {b:?}"),
                    None => {}
                }
            }
        }
    }
}

fn check_casts<const W: u32, const H: u32, const N: u32>(all: &[Number<W, H>]) {
    for a in all {
        let sa = set(W, |x| a.contains(x));
        let (zext, sext) = (a.zext::<N>(), a.sext::<N>());
        assert_eq!(image(sa, 1, |x, _| x & ones(N)) & !set(W, |x| zext.contains(x)), 0, "{a:?} to {N}");
        let exact = image(sa, 1, |x, _| cut(signed(x & ones(N), N), W));
        assert_eq!(exact & !set(W, |x| sext.contains(x)), 0, "{a:?} from {N}");
        let low = a.zext_32();
        assert_eq!(image(sa, 1, |x, _| x & ones(H)) & !set(W, |x| low.contains(x)), 0, "{a:?}");
    }
}

#[test]
fn number_reduction_and_operators_are_sound_in_four_bits_over_two() {
    // Fewer combinations than that: the reduction is checked on all of them.
    let all = numbers::<4, 2>(1 << 21);
    check_numbers(&all, 8_000);
    check_casts::<4, 2, 1>(&all);
    check_casts::<4, 2, 2>(&all);
}

#[test]
fn number_reduction_and_operators_are_sound_in_six_bits_over_three() {
    let all = numbers::<6, 3>(40_000);
    check_numbers(&all, 2_000);
    check_casts::<6, 3, 2>(&all);
}
