//! Where fuzzing starts: objects of the repository and what is in them. Written when the runner asks, and never committed.

use std::path::{Path, PathBuf};
use uxdp_core::object::{Object, OpenOptions};

/// The folder to write seeds to; the target ends then.
pub const FOLDER: &str = "UXDP_FUZZ_SEEDS";

/// Writes what `make` makes to the folder of the environment and exits, where there is one.
///
/// # Panics
/// Where it cannot be written.
pub fn write(make: fn() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let made = make();
    assert!(!made.is_empty(), "no seeds");
    for (i, seed) in made.iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{i:03}")), seed)
            .expect("the folder can be written");
    }
    std::process::exit(0);
}

fn files() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["xdp_progs/obj", "xdp_progs/obj/v2", "xdp_progs/obj/v4", "core/tests/objects"];
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .filter_map(|f| std::fs::read_dir(root.join(f)).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}

/// Object files.
pub fn objects() -> Vec<Vec<u8>> {
    files()
}

/// The types of each object, bare, and as a file.
pub fn types() -> Vec<Vec<u8>> {
    let files = files();
    let bare = files.iter().filter_map(|f| Some(f[types_at(f)?..].to_vec()));
    bare.chain(files.iter().filter(|f| f.len() < 16 << 10).cloned()).collect()
}

/// Where a file's BTF begins: its magic number and version, and the length of its header.
fn types_at(file: &[u8]) -> Option<usize> {
    file.windows(8).position(|w| w == [0x9f, 0xeb, 1, 0, 24, 0, 0, 0])
}

/// Instructions of every program, after the byte that says so.
pub fn programs() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in files() {
        let Ok(object) = Object::open(&file, &OpenOptions { name: "seed", ..OpenOptions::default() }) else {
            continue;
        };
        for linked in (0..object.programs().len()).filter_map(|i| object.link(i).ok()) {
            let words = linked.code().insns.iter().flat_map(|i| i.to_bytes());
            seeds.push([0].into_iter().chain(words).collect::<Vec<u8>>());
        }
    }
    seeds.retain(|s| s.len() < 16 << 10);
    seeds.extend(choices().into_iter().map(|c| [1].into_iter().chain(c).collect()));
    seeds
}

/// Choices of the generator, as if at random.
pub fn choices() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    };
    (0..128).map(|i| (0..96 + 4 * i).map(|_| next()).collect()).collect()
}
