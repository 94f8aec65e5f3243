//! How many programs were accepted: printed when the target ends, for the runner to read.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static JUDGED: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static COMPARED: AtomicU64 = AtomicU64::new(0);
static AT_EXIT: Once = Once::new();

/// Notes a verdict.
pub fn count(accepted: bool) {
    AT_EXIT.call_once(|| {
        // SAFETY: the function takes nothing and unwinds never.
        unsafe { atexit(print) };
    });
    JUDGED.fetch_add(1, Relaxed);
    ACCEPTED.fetch_add(u64::from(accepted), Relaxed);
}

/// Notes a program whose results were compared.
pub fn compared() {
    COMPARED.fetch_add(1, Relaxed);
}

unsafe extern "C" {
    fn atexit(f: extern "C" fn()) -> i32;
}

extern "C" fn print() {
    let (judged, accepted) = (JUDGED.load(Relaxed), ACCEPTED.load(Relaxed));
    let percent = accepted * 100 / judged.max(1);
    eprintln!("share: {accepted} of {judged} accepted ({percent} %), {} compared", COMPARED.load(Relaxed));
}
