//! How a finding looks: one line and, where something is to be mended, how.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::text::write_wrapped;
use crate::panel::Trouble;

/// Where the text begins, behind the level and the check's name.
const TEXT: usize = 19;
/// Begins the line that says what to do.
const FIX: &str = "fix: ";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Level {
    /// As it should be.
    Ok,
    /// Not looked at, and why.
    Skip,
    /// Works, but not as well as it could, or not for long.
    Warn,
    /// A visitor would stand before it.
    Fault,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fault => "FAULT",
        }
    }

    /// The terminal's code for its colour.
    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Skip => "2",
            Self::Warn => "33",
            Self::Fault => "1;31",
        }
    }
}

/// What a check has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    pub(in crate::cli) level: Level,
    pub(in crate::cli) what: String,
    /// What to do; never missing from a warning or a fault.
    pub(in crate::cli) fix: Option<String>,
    /// What the lamp flashes of a fault, where that is not what its check says.
    pub(in crate::cli) lamp: Option<Option<Trouble>>,
}

impl Finding {
    pub(in crate::cli) fn ok(what: impl Into<String>) -> Self {
        Self::new(Level::Ok, what, None)
    }

    pub(in crate::cli) fn skip(what: impl Into<String>) -> Self {
        Self::new(Level::Skip, what, None)
    }

    pub(in crate::cli) fn warn(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Level::Warn, what, Some(fix.into()))
    }

    pub(in crate::cli) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Level::Fault, what, Some(fix.into()))
    }

    /// From a message of another part, which says what is wrong and then what
    /// to do; `otherwise` is what to do when it does not.
    pub(in crate::cli) fn told(level: Level, message: &str, otherwise: &str) -> Self {
        let (what, fix) = split(message);
        Self::new(level, what, Some(small(fix.unwrap_or(otherwise))))
    }

    fn new(level: Level, what: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            level,
            what: what.into(),
            fix,
            lamp: None,
        }
    }

    /// A fault that the lamp shows as `trouble`, or as none of its own.
    pub(super) fn shown_as(self, trouble: Option<Trouble>) -> Self {
        let lamp = Some(trouble);
        Self { lamp, ..self }
    }

    fn lamp(&self, check: &str) -> Option<Trouble> {
        let usual = || match check {
            "config" | "doors" | "prompts" | "hours" => Trouble::Config,
            "secrets" | "number" => Trouble::Key,
            "network" => Trouble::Network,
            "clock" => Trouble::Blocked,
            "cards" | "mixer" => Trouble::Sound,
            "ingress" | "round trip" => Trouble::WayIn,
            _ => Trouble::Other,
        };
        let fault = self.level == Level::Fault;
        fault.then(|| self.lamp.unwrap_or_else(|| Some(usual())))?
    }
}

/// Messages of callbox say what is wrong, then behind the last `. ` or the
/// first `; ` what to do.
fn split(message: &str) -> (&str, Option<&str>) {
    match message
        .rsplit_once(". ")
        .or_else(|| message.split_once("; "))
    {
        Some((what, fix)) => (what, Some(fix)),
        None => (message, None),
    }
}

/// A sentence as the rest of a line; names such as `LimitNICE` stay as they are.
fn small(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next();
    let word = letters.as_str().split(' ').next().unwrap_or_default();
    match first {
        Some(first) if word.chars().all(char::is_lowercase) => {
            format!("{}{}", first.to_lowercase(), letters.as_str())
        }
        _ => sentence.to_owned(),
    }
}

/// Everything found so far, check by check.
#[derive(Debug, Default)]
pub(in crate::cli) struct Report(Vec<(&'static str, Finding)>);

impl Report {
    pub(in crate::cli) fn add(&mut self, check: &'static str, findings: Vec<Finding>) {
        self.0
            .extend(findings.into_iter().map(|finding| (check, finding)));
    }

    pub(in crate::cli) fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|(_, f)| f.level == level).count()
    }

    pub(in crate::cli) fn is_well(&self) -> bool {
        self.count(Level::Fault) == 0
    }

    /// The last line: how it stands, and what comes next.
    pub(in crate::cli) fn summary(&self) -> String {
        let several = |n: usize, what: &str| match n {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let faults = self.count(Level::Fault);
        let warnings = several(self.count(Level::Warn), "warning");
        let next = match faults {
            0 => "the next press should place a call",
            1 => "mend the fault, then run it again",
            _ => "mend from the top, for one fault causes others, then run it again",
        };
        format!("{}, {warnings}: {next}.", several(faults, "fault"))
    }

    pub(in crate::cli) fn json(&self) -> Value {
        let finding = |(check, f): &(&str, Finding)| {
            json!({
                "check": check,
                "level": f.level.word().to_lowercase(),
                "what": f.what,
                "fix": f.fix,
                "lamp": f.lamp(check).map(Trouble::name),
            })
        };
        json!({
            "well": self.is_well(),
            "faults": self.count(Level::Fault),
            "warnings": self.count(Level::Warn),
            "findings": self.0.iter().map(finding).collect::<Vec<_>>(),
        })
    }
}

/// A finding as it stands in the terminal, its end of line included.
pub(in crate::cli) fn lines(check: &str, finding: &Finding, colours: bool) -> String {
    let word = finding.level.word();
    let level = format!("{word:>5}");
    let level = match colours {
        true => format!("\x1b[{}m{level}\x1b[0m", finding.level.colour()),
        false => level,
    };
    let mut out = format!("{level}  {check:<width$}", width = TEXT - 7);
    write_wrapped(&mut out, &finding.what, TEXT);
    if let Some(fix) = &finding.fix {
        _ = write!(out, "{:TEXT$}{FIX}", "");
        write_wrapped(&mut out, fix, TEXT + FIX.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::text::WIDTH;

    #[test]
    fn a_finding_fits_eighty_columns_and_its_fix_stands_below() {
        let what = "nobody answers ".repeat(12);
        let finding = Finding::fault(what, "plug it in ".repeat(12));
        let text = lines("round trip", &finding, false);
        assert!(
            text.starts_with("FAULT  round trip  nobody answers"),
            "{text}"
        );
        assert!(
            text.contains("\n                   fix: plug it in"),
            "{text}"
        );
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let finding = Finding::ok("good");
        assert_eq!(
            lines("config", &finding, false),
            "   ok  config      good\n"
        );
        assert!(lines("config", &finding, true).starts_with("\x1b[32m   ok\x1b[0m"));
    }

    #[test]
    fn messages_are_split_where_the_advice_begins() {
        let cases = [
            (
                "no card \"x\"; these are there: a. Plug it in",
                ("no card \"x\"; these are there: a", "plug it in"),
            ),
            (
                "port 80 is taken; choose another",
                ("port 80 is taken", "choose another"),
            ),
            ("it broke", ("it broke", "call us")),
            (
                "no. LimitNICE=1 is missing",
                ("no", "LimitNICE=1 is missing"),
            ),
        ];
        for (message, (what, fix)) in cases {
            let finding = Finding::told(Level::Fault, message, "call us");
            assert_eq!(finding, Finding::fault(what, fix), "{message}");
        }
    }

    #[test]
    fn the_summary_counts_and_says_what_is_next() {
        let mut report = Report::default();
        report.add("config", vec![Finding::ok("good"), Finding::warn("a", "b")]);
        assert!(report.is_well());
        assert_eq!(
            report.summary(),
            "no faults, 1 warning: the next press should place a call."
        );
        report.add("cards", vec![Finding::fault("a", "b")]);
        assert!(!report.is_well());
        assert!(
            report
                .summary()
                .starts_with("1 fault, 1 warning: mend the fault")
        );
        let json = report.json();
        assert_eq!(json["findings"][2]["level"], "fault");
        assert_eq!(json["findings"][2]["fix"], "b");
        assert_eq!(json["findings"][2]["lamp"], "sound");
        assert!(json["findings"][1]["lamp"].is_null(), "no fault, no lamp");
        let unreached = Finding::fault("a", "b").shown_as(None);
        assert_eq!(unreached.lamp("service"), None);
    }
}
