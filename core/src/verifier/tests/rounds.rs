//! Loops of iterators: what mattered is carried round them, and they end.

use super::world::{maps, program};
use crate::helpers::STANDARD;
use crate::verifier::input::Input;
use crate::verifier::{VerifyOptions, prove_observed};

/// The verdict as on a machine that has every helper.
fn verdict(text: &str) -> Option<String> {
    let text = text
        .replace("ITER_NEW", "r1 = r10; r1 += -8; r2 = 0; r3 = 10; raw 0x85 0 2 0 65547")
        .replace("ITER_NEXT", "r1 = r10; r1 += -8; raw 0x85 0 2 0 65548")
        .replace("ITER_DESTROY", "r1 = r10; r1 += -8; raw 0x85 0 2 0 65549")
        .replace(
            "VALUE",
            "r1 = 0; u32[r10-12] = r1; r2 = r10; r2 += -12; r1 = map0; call 1; if r0 == 0 goto out",
        )
        .replace("OUT", "out: ; r0 = 2; exit");
    let (code, maps) = (program(&text, None), maps());
    let opts = VerifyOptions { insn_budget: 20_000, ..VerifyOptions::default() };
    let input = Input { code: &code, maps: &maps, helpers: STANDARD, opts, judging: true };
    prove_observed(input, &mut String::new(), None).err().map(|r| r.to_string())
}

/// `r8` matters only through `r7`, and through that only at the turn after: a state with another `r8` must not be taken for covered.
const ROUND: &str = "
    call 7; r8 = 0; if r0 == 7 goto merged; r8 = NUMBER; merged: ;
    r7 = 0; ITER_NEW; next: ; ITER_NEXT; if r0 == 0 goto done; r7 = r8; goto next;
    done: ; ITER_DESTROY; VALUE; r0 += r7; r1 = u8[r0+0]; OUT";

#[test]
fn number_that_matters_a_turn_later_is_not_pruned_away() {
    assert_eq!(verdict(&ROUND.replace("NUMBER", "63")), None);
    let refused = verdict(&ROUND.replace("NUMBER", "64")).expect("64 is beyond the value");
    assert!(refused.contains("invalid access to map value"), "{refused}");
}

/// The same through two turns, and a slot of the stack. Another number than zero is widened on the way, by Linux too.
const TWO_ROUNDS: &str = "
    call 7; r8 = 0; if r0 == 7 goto merged; r8 = NUMBER; merged: ;
    r7 = 0; r1 = 0; u64[r10-32] = r1; ITER_NEW; next: ; ITER_NEXT; if r0 == 0 goto done;
    r7 = u64[r10-32]; u64[r10-32] = r8; goto next;
    done: ; ITER_DESTROY; VALUE; r0 += r7; r1 = u8[r0+0]; OUT";

#[test]
fn number_that_matters_two_turns_later_is_not_pruned_away() {
    assert_eq!(verdict(&TWO_ROUNDS.replace("NUMBER", "0")), None);
    assert!(verdict(&TWO_ROUNDS.replace("NUMBER", "64")).is_some());
}

/// An inner loop whose number goes round the outer one.
const NESTED: &str = "
    call 7; r8 = 0; if r0 == 7 goto merged; r8 = NUMBER; merged: ;
    r7 = 0; r9 = 0; ITER_NEW; next: ; ITER_NEXT; if r0 == 0 goto done;
    r1 = r10; r1 += -24; r2 = 0; r3 = 3; raw 0x85 0 2 0 65547;
    inner: ; r1 = r10; r1 += -24; raw 0x85 0 2 0 65548; if r0 == 0 goto inner_done; r9 = r8; goto inner;
    inner_done: ; r1 = r10; r1 += -24; raw 0x85 0 2 0 65549; r7 = r9; goto next;
    done: ; ITER_DESTROY; VALUE; r0 += r7; r1 = u8[r0+0]; OUT";

#[test]
fn number_that_goes_through_an_inner_loop_is_not_pruned_away() {
    assert_eq!(verdict(&NESTED.replace("NUMBER", "63")), None);
    assert!(verdict(&NESTED.replace("NUMBER", "64")).is_some());
}

#[test]
fn counter_that_nothing_rests_on_does_not_keep_a_loop_from_ending() {
    let text = "r6 = 0; ITER_NEW; next: ; ITER_NEXT; if r0 == 0 goto done; r6 += 1; call 7; if r0 == 3 goto next; r6 += 7; goto next;
        done: ; ITER_DESTROY; r0 = r6; exit";
    assert_eq!(verdict(text), None);
}

#[test]
fn loop_that_nothing_bounds_is_refused_though_one_inside_is_bounded() {
    let text = "again: ; ITER_NEW; next: ; ITER_NEXT; if r0 == 0 goto done; goto next; done: ; ITER_DESTROY; goto again";
    let refused = verdict(text).expect("it never ends");
    assert!(refused.contains("infinite loop") || refused.contains("too large"), "{refused}");
}
