//! One `--prog`: which program, where it runs, and how it runs beside others.
//!
//! `FILE[:NAME][,port=N][,queue=N][,priority=N][,chain=ACTION+ACTION]`. A file that exists under the whole text, or under all of it before the settings, is just that.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Actions by their codes.
const ACTIONS: [&str; 5] = ["aborted", "drop", "pass", "tx", "redirect"];

/// A program, as the command line names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProgSpec {
    pub(crate) file: PathBuf,
    /// Where the file has several.
    pub(crate) name: Option<String>,
    /// The only port that it runs at.
    pub(crate) port: Option<u16>,
    /// The only RX queue.
    pub(crate) queue: Option<u16>,
    /// In place of the object's.
    pub(crate) priority: Option<u32>,
    /// In place of the object's: bit n, the next program runs after action n.
    pub(crate) chain: Option<u32>,
}

impl ProgSpec {
    /// Whether it runs on packets of that queue.
    pub(crate) fn runs_at(&self, port: u16, queue: u16) -> bool {
        self.port.is_none_or(|p| p == port) && self.queue.is_none_or(|q| q == queue)
    }

    /// Sets what one `KEY=VALUE` says.
    fn set(&mut self, setting: &str) -> Result<(), String> {
        let wrong =
            || format!("\"{setting}\" is none of port=N, queue=N, priority=N and chain=ACTION+ACTION");
        let (key, value) = setting.split_once('=').ok_or_else(wrong)?;
        match key {
            "port" => self.port = Some(value.parse().map_err(|_| wrong())?),
            "queue" => self.queue = Some(value.parse().map_err(|_| wrong())?),
            "priority" => self.priority = Some(value.parse().map_err(|_| wrong())?),
            "chain" => self.chain = Some(actions(value)?),
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

impl FromStr for ProgSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (program, settings) = match text.split_once(',') {
            Some((program, settings)) if !Path::new(text).exists() => (program, Some(settings)),
            _ => (text, None),
        };
        let (file, name) = match program.rsplit_once(':') {
            Some((file, name)) if !Path::new(program).exists() => (file, Some(name.to_owned())),
            _ => (program, None),
        };
        let mut spec = ProgSpec { file: file.into(), name, ..ProgSpec::default() };
        settings.into_iter().flat_map(|s| s.split(',')).try_for_each(|setting| spec.set(setting))?;
        Ok(spec)
    }
}

/// The bits of actions joined by `+`.
fn actions(list: &str) -> Result<u32, String> {
    if list == "none" {
        return Ok(0);
    }
    list.split('+').try_fold(0, |bits, name| match ACTIONS.iter().position(|a| *a == name) {
        Some(code) => Ok(bits | 1 << code),
        None => Err(format!("\"{name}\" is no action; they are {}, or none", ACTIONS.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ProgSpec {
        text.parse().unwrap()
    }

    #[test]
    fn program_names_follow_the_last_colon_of_a_path_that_is_no_file() {
        let named =
            |name: &str| ProgSpec { file: "a.o".into(), name: Some(name.into()), ..ProgSpec::default() };
        assert_eq!(spec("a.o:main"), named("main"));
        assert_eq!(spec("a.o"), ProgSpec { name: None, ..named("") });
    }

    #[test]
    fn settings_say_where_and_in_which_order_it_runs() {
        let one = spec("a.o:main,port=1,queue=2,priority=7,chain=pass+drop");
        assert_eq!((one.port, one.queue, one.priority, one.chain), (Some(1), Some(2), Some(7), Some(0b110)));
        assert!(one.runs_at(1, 2) && !one.runs_at(1, 0) && !one.runs_at(0, 2));
        assert_eq!(spec("a.o,chain=none").chain, Some(0));
        assert!(spec("a.o").runs_at(3, 3));
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (text, part) in [
            ("a.o,", "\"\""),
            ("a.o,port", "\"port\""),
            ("a.o,port=x", "\"port=x\""),
            ("a.o,prio=1", "\"prio=1\""),
            ("a.o,chain=pass+fail", "\"fail\" is no action"),
        ] {
            let refused = text.parse::<ProgSpec>().unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
