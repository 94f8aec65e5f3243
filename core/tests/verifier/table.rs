//! The case files: pairs of an unsafe program and its safe twin, written as one text with the difference marked.
//!
//! `pair NAME` opens a pair. `maps`, `prog` and `refuse` say which maps it has (short names of [`crate::maps`]), which section it stands in and
//! which words of the kernel the refusal contains. The indented lines are the program; those with `-` in front stand in the unsafe program alone, those with `+`
//! in the safe one. `!name` stands for the lines of a `define name` of `macros.txt`.

use crate::asm::{Assembled, assemble};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use uxdp_core::program::AttachType;

/// Which of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Unsafe,
    Safe,
}

/// One program of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) class: String,
    pub(crate) pair: String,
    pub(crate) side: Side,
    pub(crate) maps: Vec<String>,
    pub(crate) section: String,
    /// Part of the refusal.
    pub(crate) message: String,
    pub(crate) program: Assembled,
}

impl Case {
    /// `class/pair unsafe`: what lists of differences name.
    pub(crate) fn name(&self) -> String {
        let side = if self.side == Side::Safe { "safe" } else { "unsafe" };
        format!("{}/{} {side}", self.class, self.pair)
    }

    pub(crate) fn attach(&self) -> AttachType {
        match self.section.as_str() {
            "xdp" => AttachType::Xdp,
            "xdp/devmap" => AttachType::XdpDevmap,
            "xdp/cpumap" => AttachType::XdpCpumap,
            other => panic!("{}: section {other}", self.pair),
        }
    }
}

/// The folder of this test.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier")
}

/// Every case, class by class; with `UXDP_CASES` set, those whose name contains it.
pub(crate) fn cases() -> Vec<Case> {
    let wanted = std::env::var("UXDP_CASES").unwrap_or_default();
    let macros = macros();
    let mut files: Vec<_> =
        std::fs::read_dir(folder().join("cases")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "txt")) {
        let class = file.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let blocks: Vec<_> = lines(&text).collect();
        for block in blocks.chunk_by(|_, next| !next.starts_with("pair ")) {
            all.extend(pair(class, block, &macros).into_iter().filter(|c| c.name().contains(&wanted)));
        }
    }
    all
}

/// Lines without comments and without empty ones.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|l| l.split(" //").next().unwrap_or("").trim_end())
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn macros() -> HashMap<String, Vec<String>> {
    let text = std::fs::read_to_string(folder().join("macros.txt")).unwrap();
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    let mut name = String::new();
    for line in lines(&text) {
        match line.strip_prefix("define ") {
            Some(new) => name = new.to_owned(),
            None => found.entry(name.clone()).or_default().push(line.trim().to_owned()),
        }
    }
    found
}

fn pair(class: &str, block: &[&str], macros: &HashMap<String, Vec<String>>) -> [Case; 2] {
    let name =
        block[0].strip_prefix("pair ").unwrap_or_else(|| panic!("{class}: `{}` opens no pair", block[0]));
    let value = |key: &str| block.iter().find_map(|l| l.strip_prefix(key)).map(str::trim);
    let side = |side: Side| {
        let mut body = Vec::new();
        for line in &block[1..] {
            let (mark, rest) = line.split_at(1);
            let wanted = match mark {
                " " => true,
                "-" => side == Side::Unsafe,
                "+" => side == Side::Safe,
                _ => continue,
            };
            let rest = rest.trim();
            match rest.strip_prefix('!') {
                _ if !wanted => {}
                Some(name) => {
                    let lines = macros.get(name).unwrap_or_else(|| panic!("{class}: no macro {name}"));
                    body.extend(lines.iter().map(String::as_str));
                }
                None => body.push(rest),
            }
        }
        Case {
            class: class.to_owned(),
            pair: name.to_owned(),
            side,
            maps: value("maps ").unwrap_or("").split_whitespace().map(str::to_owned).collect(),
            section: value("prog ").unwrap_or("xdp").to_owned(),
            message: value("refuse ").unwrap_or_else(|| panic!("{class}/{name}: no message")).to_owned(),
            program: assemble(body).unwrap_or_else(|e| panic!("{class}/{name}: {e}")),
        }
    };
    [side(Side::Unsafe), side(Side::Safe)]
}
