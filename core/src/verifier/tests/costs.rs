//! What verification may cost: memory against the instructions processed. Times are measured elsewhere, never asserted.

use super::world::{check, program};
use crate::verifier::VerifierError;

const MIB: usize = 1 << 20;

#[test]
fn memory_at_nine_hundred_thousand_instructions_is_below_thirteen_mebibytes() {
    // One long path that counts, and one with a full stack that is written at each turn.
    let counting =
        "r6 = 0; again: ; r6 += 1; r7 = r6; r7 &= 1; r8 = r7; if r6 < 180000 goto again; r0 = 0; exit"
            .to_string();
    let mut filling = String::from("r6 = 0; r7 = 0; ");
    for slot in 1..=60 {
        filling += &format!("u64[r10-{}] = r7; ", 8 * slot);
    }
    filling += "again: ; r6 += 1; u64[r10-8] = r6; r1 = u64[r10-16]; u64[r10-16] = r6; r2 = u64[r10-8]; if r6 < 140000 goto again; r0 = 0; exit";
    for text in [counting, filling] {
        let result = check(&program(&text, None), 0, &mut String::new());
        let stats = match result {
            Ok(proof) => proof.stats,
            Err(r) => {
                assert!(matches!(r.error, VerifierError::TooManyInsns { .. }), "{r}: {text}");
                r.stats
            }
        };
        assert!(stats.insns_processed >= 800_000, "{} processed: {text}", stats.insns_processed);
        assert!(stats.peak_memory < 13 * MIB, "{} bytes: {text}", stats.peak_memory);
    }
}
