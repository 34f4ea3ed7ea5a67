//! Records for other programs: JSON Lines, or CSV as RFC 4180 has it.
//!
//! A spreadsheet takes a text that begins with `=`, `+`, `-` or `@` for a
//! formula, and words of a call come from strangers: in CSV such a text gets a
//! `'` in front, which spreadsheets hide. Values that were measured are numbers
//! and stay as they are; JSON has every text as it is on record.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::Failure;
use super::terminal::harmless;

/// Writes facts: a JSON object a line, or CSV.
pub(super) struct Exported {
    /// The columns of the CSV; `None` is JSON.
    columns: Option<Vec<String>>,
}

impl Exported {
    /// For CSV with these columns, whose line of names is written, or for JSON.
    pub(super) fn begin<'c>(
        csv: bool,
        columns: impl Iterator<Item = &'c str>,
        out: &mut dyn Write,
    ) -> Result<Self, Failure> {
        let columns = csv.then(|| columns.map(str::to_owned).collect::<Vec<_>>());
        if let Some(columns) = &columns {
            write!(out, "{}\r\n", columns.join(","))?;
        }
        Ok(Self { columns })
    }

    /// The line of one call, with its end.
    pub(super) fn line(&self, facts: &Map<String, Value>) -> Result<String, Failure> {
        Ok(match &self.columns {
            None => serde_json::to_string(facts).map_err(io::Error::from)? + "\n",
            Some(columns) => {
                let fields = columns
                    .iter()
                    .map(|name| facts.get(name).map_or_else(String::new, csv));
                fields.collect::<Vec<_>>().join(",") + "\r\n"
            }
        })
    }
}

/// A field of a CSV line (RFC 4180 §2).
fn csv(value: &Value) -> String {
    let text = plain(value, "");
    let is_formula = text.starts_with([
        '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    let guard = if is_formula && value.is_string() {
        "'"
    } else {
        ""
    };
    if text.contains(['"', ',']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

/// A value as text on one line, without what would steer a terminal.
pub(super) fn plain(value: &Value, missing: &str) -> String {
    match value {
        Value::Null => missing.to_owned(),
        Value::String(text) => harmless(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_quoted_and_never_a_formula() {
        let cases = [
            (json!(null), ""),
            (json!("plain words"), "plain words"),
            (json!("a, b"), "\"a, b\""),
            (json!("say \"no\""), "\"say \"\"no\"\"\""),
            (json!("two\r\nlines"), "two\u{fffd}\u{fffd}lines"),
            (
                json!("=HYPERLINK(\"http://x\",\"y\")"),
                "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"",
            ),
            (json!("+4930123456"), "'+4930123456"),
            (json!("-1+1"), "'-1+1"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\u{ff1d}1"), "'\u{ff1d}1"),
            (json!("\t=1"), "\u{fffd}=1"),
            (json!(-37.5), "-37.5"),
            (json!(-3), "-3"),
            (json!(true), "yes"),
        ];
        for (value, want) in cases {
            assert_eq!(csv(&value), want, "{value}");
        }
    }
}
