//! What a refusal says to a person: a golden text a class of refusals, in `explained.txt`. `UXDP_BLESS=1` writes it anew.

use crate::maps;
use crate::ours;
use crate::table::{Side, cases, folder};

#[test]
fn explanations_of_refused_programs_are_as_committed() {
    let path = folder().join("explained.txt");
    let committed = std::fs::read_to_string(&path).unwrap();
    let names: Vec<_> = committed.lines().filter_map(|l| l.strip_prefix("## ")).map(str::to_owned).collect();
    let all = cases();

    let mut text = String::new();
    for name in &names {
        let found = all.iter().find(|c| c.side == Side::Unsafe && c.name() == format!("{name} unsafe"));
        let case = found.unwrap_or_else(|| panic!("no case {name}"));
        let specs: Vec<_> = case.maps.iter().map(|m| maps::spec(m)).collect();
        text += &format!("## {name}\n{}\n", ours::explain(&case.program, &specs, case.attach()));
    }
    if std::env::var_os("UXDP_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(names.len() >= 15);
    let differ = text.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(text == committed, "the texts changed, UXDP_BLESS=1 writes them anew: {differ:?}");
}
