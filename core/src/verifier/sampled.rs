//! Every abstract operator against its concrete operation at 64 bits, on random values with a fixed seed.
//!
//! An abstract value is made from known members: the join of a few constants, met with true statements about them. Its ends
//! and further members near them are tried too.

use crate::verifier::alu::{AluOp, Width, alu};
use crate::verifier::oracle::{Random, compute, cut, holds, signed};
use crate::verifier::range::Range;
use crate::verifier::refine::{Cond, decide, refine};
use crate::verifier::scalar::Scalar;
use crate::verifier::tnum::{Tnum, ones};

/// An abstract value and members of it.
fn sample(random: &mut Random) -> (Scalar, Vec<u64>) {
    let mut members: Vec<u64> = (0..=random.below(4)).map(|_| random.value()).collect();
    if random.below(2) == 0 {
        let (base, span) = (members[0], 1 << random.below(20));
        members = (0..4).map(|_| base.wrapping_add(random.below(span))).collect();
    }
    let mut s = members.iter().map(|x| Scalar::constant(*x)).reduce(|a, b| a.join(&b)).unwrap();
    // Forget some of it: bits, wide bounds or low bounds.
    let forget = random.below(8);
    let tnum = if forget & 1 == 0 { s.tnum() } else { Tnum::UNKNOWN };
    let wide = if forget & 2 == 0 { *s.range() } else { Range::FULL };
    let low = if forget & 4 == 0 { s.low_range() } else { Range::FULL };
    s = Scalar::new(tnum, &wide, &low).unwrap();
    assert!(members.iter().all(|x| s.contains(*x)), "{members:x?} in {s:?}");
    let ends = [s.umin(), s.umax(), s.smin() as u64, s.smax() as u64, s.tnum().value(), s.tnum().may()];
    let further: Vec<u64> =
        (0..8).map(|_| random.pick(&ends).wrapping_add(random.below(5)).wrapping_sub(2)).collect();
    let masked = random.next() & s.tnum().mask() | s.tnum().value();
    members.extend(ends.into_iter().chain(further).chain([masked]).filter(|x| s.contains(*x)));
    (s, members)
}

#[test]
fn operators_hold_for_random_members() {
    let mut random = Random(0x0dd_ba11);
    for _ in 0..6_000 {
        let ((a, xs), (b, ys)) = (sample(&mut random), sample(&mut random));
        for (width, bits) in [(Width::W64, 64), (Width::W32, 32)] {
            let m = ones(bits);
            for op in AluOp::ALL {
                let result = alu(op, width, &a, &b);
                for x in &xs {
                    for y in &ys {
                        let r = compute(op, bits, x & m, y & m);
                        assert!(
                            result.contains(r),
                            "{x:#x} {op:?} {y:#x} = {r:#x} {width:?}: {a:?} with {b:?} = {result:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn constants_stay_constant() {
    let mut random = Random(0xc0_4457);
    for _ in 0..20_000 {
        let (x, y) = (random.value(), random.value());
        let (a, b) = (Scalar::constant(x), Scalar::constant(y));
        for op in AluOp::ALL {
            assert_eq!(
                alu(op, Width::W64, &a, &b),
                Scalar::constant(compute(op, 64, x, y)),
                "{x:#x} {op:?} {y:#x}"
            );
            let (x, y) = (x & ones(32), y & ones(32));
            assert_eq!(
                alu(op, Width::W32, &a, &b),
                Scalar::constant(compute(op, 32, x, y)),
                "{x:#x} {op:?} {y:#x}"
            );
        }
        for op in Cond::ALL {
            assert_eq!(decide(op, Width::W64, &a, &b), Some(holds(op, 64, x, y)), "{x:#x} {op:?} {y:#x}");
            let low = holds(op, 32, x & ones(32), y & ones(32));
            assert_eq!(decide(op, Width::W32, &a, &b), Some(low), "{x:#x} {op:?} {y:#x}");
        }
    }
}

#[test]
fn refinement_keeps_random_members() {
    let mut random = Random(0xfeed);
    for round in 0..10_000 {
        let ((a, mut xs), (mut b, mut ys)) = (sample(&mut random), sample(&mut random));
        if round % 3 == 0 {
            b = Scalar::constant(xs[0]);
            ys.truncate(1);
            ys[0] = xs[0];
        } else {
            // Common members make equalities hold.
            let common = ys.iter().copied().filter(|y| a.contains(*y)).collect::<Vec<_>>();
            xs.extend(common);
        }
        for (width, bits) in [(Width::W64, 64), (Width::W32, 32)] {
            let m = ones(bits);
            for op in Cond::ALL {
                let (taken, known) = (refine(op, width, &a, &b), decide(op, width, &a, &b));
                for x in &xs {
                    for y in &ys {
                        let is = holds(op, bits, x & m, y & m);
                        assert!(known.is_none_or(|k| k == is), "{x:#x} {op:?} {y:#x}: {a:?} with {b:?}");
                        let kept = taken.as_ref().is_some_and(|(p, q)| p.contains(*x) && q.contains(*y));
                        assert!(!is || kept, "{x:#x} {op:?} {y:#x} {width:?}: {a:?} with {b:?} = {taken:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn casts_swaps_joins_and_subsets_hold_for_random_members() {
    let mut random = Random(0xcafe);
    for _ in 0..15_000 {
        let ((a, xs), (b, ys)) = (sample(&mut random), sample(&mut random));
        let join = a.join(&b);
        assert!(a.subset_of(&join) && b.subset_of(&join), "{a:?} {b:?} {join:?}");
        assert!(!a.subset_of(&b) || xs.iter().all(|x| b.contains(*x)), "{a:?} {b:?}");
        assert!(!b.subset_of(&a) || ys.iter().all(|y| a.contains(*y)), "{a:?} {b:?}");
        assert_eq!(a.zext_32(), a.coerce_to_size(4).zext_32());
        for x in xs {
            assert!(join.contains(x));
            for bits in [8, 16, 32] {
                let wide = cut(signed(x & ones(bits), bits), 64);
                assert!(a.sign_extend(bits, Width::W64).contains(wide), "{a:?} {x:#x} {bits}");
                assert!(a.sign_extend(bits, Width::W32).contains(wide & ones(32)), "{a:?} {x:#x} {bits}");
                assert!(a.coerce_to_size(bits / 8).contains(x & ones(bits)), "{a:?} {x:#x} {bits}");
            }
            assert!(a.swap_bytes(16).contains(u64::from((x as u16).swap_bytes())));
            assert!(a.swap_bytes(32).contains(u64::from((x as u32).swap_bytes())));
            assert!(a.swap_bytes(64).contains(x.swap_bytes()));
        }
    }
}

/// Every pair of short spans around the edges of 32 and 64 bits.
#[test]
fn operators_hold_across_the_edges() {
    let edges = [0u64, 1 << 31, 1 << 32, 1 << 63];
    let spans: Vec<(Scalar, Vec<u64>)> = edges
        .iter()
        .flat_map(|e| {
            (0..4u64).flat_map(move |i| (i..4).map(move |j| (e.wrapping_sub(2).wrapping_add(i), j - i)))
        })
        .map(|(start, width)| {
            let xs: Vec<u64> = (0..=width).map(|i| start.wrapping_add(i)).collect();
            (xs.iter().map(|x| Scalar::constant(*x)).reduce(|a, b| a.join(&b)).unwrap(), xs)
        })
        .collect();
    for (a, xs) in &spans {
        for (b, ys) in &spans {
            for (width, bits) in [(Width::W64, 64), (Width::W32, 32)] {
                let m = ones(bits);
                for op in AluOp::ALL {
                    let result = alu(op, width, a, b);
                    for x in xs {
                        for y in ys {
                            assert!(result.contains(compute(op, bits, x & m, y & m)), "{x:#x} {op:?} {y:#x}");
                        }
                    }
                }
                for op in Cond::ALL {
                    let taken = refine(op, width, a, b);
                    for x in xs {
                        for y in ys {
                            let kept = taken.as_ref().is_some_and(|(p, q)| p.contains(*x) && q.contains(*y));
                            assert!(!holds(op, bits, x & m, y & m) || kept, "{x:#x} {op:?} {y:#x}");
                        }
                    }
                }
            }
        }
    }
}
