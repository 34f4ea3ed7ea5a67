//! `callbox calls show`: one call, in the order it went.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::export::plain;
use super::list::{button_name, shown, which_try, zoned};
use super::terminal::{harmless, lines, padded, width};
use super::{Failure, Manner, Show, Surroundings};
use crate::cli::picture;
use crate::edge::store::{Direction, Line, Opening, Party, Query, Reader, Row, Source, Timeline};

pub(super) fn show(
    show: &Show,
    reader: &Reader,
    around: &Surroundings<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let row = find(&show.id, reader)?;
    let openings = reader.openings(&row.token)?;
    let transcript = reader.transcript(&row.token)?;
    if show.json {
        return show_facts(
            &all_facts(&row, &openings, &transcript, show.numbers),
            true,
            out,
        );
    }
    let page = Page {
        row: &row,
        openings: &openings,
        transcript: &transcript,
        manner: &around.manner(show.numbers),
    };
    if let Some(path) = &show.picture {
        page.draw(path, reader.timeline(&row.token)?.as_ref())?;
        let id = row.short_token();
        return Ok(writeln!(out, "call {id} is drawn in {}", path.display())?);
    }
    Ok(write!(out, "{}", page.text())?)
}

/// The page of a call, and its picture in a file.
pub(super) fn tell(
    id: &str,
    reader: &Reader,
    around: &Surroundings<'_>,
    picture: &Path,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let row = find(id, reader)?;
    let page = Page {
        row: &row,
        openings: &reader.openings(&row.token)?,
        transcript: &reader.transcript(&row.token)?,
        manner: &around.manner(false),
    };
    page.draw(picture, reader.timeline(&row.token)?.as_ref())?;
    Ok(write!(out, "{}", page.text())?)
}

fn find(id: &str, reader: &Reader) -> Result<Row, Failure> {
    let mut rows = match id {
        "" => Vec::new(),
        start => reader.rows(&Query::Find(start.into()))?,
    };
    match (rows.pop(), rows.is_empty()) {
        (None, _) => Err(Failure::Unknown(id.to_owned())),
        (Some(row), true) => Ok(row),
        (Some(row), false) => {
            rows.push(row);
            let ids = rows.iter().map(|row| row.short_token().to_owned());
            Err(Failure::Ambiguous {
                start: id.to_owned(),
                ids: ids.collect(),
            })
        }
    }
}

/// Prints facts by name, all of them: one JSON object, or a line each.
pub(super) fn show_facts(
    facts: &Map<String, Value>,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json {
        serde_json::to_writer_pretty(&mut *out, facts).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    let width = facts.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in facts {
        let name = name.replace('_', " ");
        writeln!(out, "{name:width$}  {}", plain(value, "not known"))?;
    }
    Ok(())
}

/// The facts of the row, and what is kept beside it.
fn all_facts(
    row: &Row,
    openings: &[Opening],
    transcript: &[Line],
    numbers: bool,
) -> Map<String, Value> {
    let opened = openings.iter().map(|opening| {
        json!({
            "at": opening.at.to_string(),
            "after_ms": opening.after_ms,
            "door": opening.door,
            "by": opening.by.as_str(),
            "number": opening.number.as_ref().map(|number| shown(number, numbers)),
        })
    });
    let lines = transcript.iter().map(|line| {
        json!({
            "source": line.source.as_str(),
            "at_ms": line.at_ms,
            "party": line.party.as_str(),
            "text": line.text,
        })
    });
    let mut facts = row.facts(numbers);
    facts.insert("opened".into(), opened.collect());
    facts.insert("transcript".into(), lines.collect());
    facts
}

/// Facts that the upper half of the page tells in its own words.
fn is_told(name: &str) -> bool {
    const TOLD: [&str; 21] = [
        "token",
        "call_id",
        "direction",
        "kind",
        "press",
        "button",
        "target",
        "position",
        "cycle",
        "to_number",
        "from_number",
        "clock_trusted",
        "talk_ms",
        "outcome",
        "local_reason",
        "service_status",
        "service_hangup_reason",
        "http_status",
        "http_error",
        "openings",
        "said",
    ];
    let is_service = name.starts_with("service_");
    TOLD.contains(&name)
        || (!is_service && name.ends_with("_at"))
        || (!is_service && name.ends_with("_after_ms"))
}

/// Cells for the names of the page.
const NAMES: usize = 22;

/// Cells for the times of the page.
const TIMES: usize = 11;

/// A call on record, with what is kept beside it.
struct Page<'a> {
    row: &'a Row,
    openings: &'a [Opening],
    transcript: &'a [Line],
    manner: &'a Manner<'a>,
}

impl Page<'_> {
    /// The picture of the call, as a file.
    fn draw(&self, path: &Path, timeline: Option<&Timeline>) -> Result<(), Failure> {
        let drawn = picture::svg(&picture::Call {
            row: self.row,
            openings: self.openings,
            timeline,
            date: self.pressed().as_deref(),
            doors: self.manner.doors,
            numbers: self.manner.numbers,
        });
        std::fs::write(path, drawn).map_err(|error| Failure::Picture {
            path: path.to_owned(),
            error,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.head() {
            self.entry(&mut text, &name, &value, NAMES);
        }
        self.heading(&mut text, "How it went (seconds since the press)");
        let mut course = self.course();
        course.extend(self.spoken(Source::Stream));
        course.sort_by_key(|(ms, _)| *ms);
        self.times(&mut text, &course);
        let service = self.spoken(Source::Service);
        if !service.is_empty() {
            self.heading(
                &mut text,
                "What the service heard (seconds since the answer)",
            );
            self.times(&mut text, &service);
        }
        self.heading(&mut text, "What was measured and said");
        for (name, value) in &self.row.facts(self.manner.numbers) {
            if !is_told(name) && !value.is_null() {
                self.entry(&mut text, &name.replace('_', " "), &plain(value, ""), NAMES);
            }
        }
        text
    }

    /// Who, whom, when and what became of it.
    fn head(&self) -> Vec<(String, String)> {
        let Self { row, manner, .. } = self;
        let number = |number| shown(number, manner.numbers);
        let words = |text: &String| harmless(text);
        let mut head = vec![("id", Some(row.short_token().to_owned()))];
        head.push(("call id", row.call_id.as_ref().map(ToString::to_string)));
        head.push(("kind", self.kind()));
        head.push((
            "button",
            row.button.map(|button| button_name(button, manner.buttons)),
        ));
        head.push(("from", row.from_number.as_ref().map(number)));
        head.push(("to", row.to_number.as_ref().map(number)));
        head.push(("try", self.which_try()));
        head.push(("pressed", self.pressed()));
        head.push(("outcome", Some(self.outcome())));
        head.push((
            "talked",
            row.talk_ms.map(|ms| super::list::duration(ms.into())),
        ));
        head.push(("service says", self.service()));
        head.push(("request", self.request()));
        head.push(("announcement", row.said.as_ref().map(words)));
        let known = head.into_iter();
        known
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }

    fn kind(&self) -> Option<String> {
        let direction = self.row.direction?.as_str();
        let kind = self.row.kind.map(|kind| format!(", {}", kind.as_str()));
        Some(format!("{direction}{}", kind.unwrap_or_default()))
    }

    /// Which of a press's attempts it was, where there was another.
    fn which_try(&self) -> Option<String> {
        let press = self.row.press.as_ref()?;
        let is_first = *press == self.row.token;
        let first = Row::new(press.as_str()).short_token().to_owned();
        let which = which_try(self.row);
        match is_first {
            true => None,
            false => Some(format!("{which} of the press that began with {first}")),
        }
    }

    fn pressed(&self) -> Option<String> {
        let at = zoned(self.row.pressed_at?, self.manner);
        let doubt = match self.row.clock_trusted {
            Some(true) => "",
            _ => ", by a clock that nobody confirmed",
        };
        Some(format!("{}{doubt}", at.strftime("%Y-%m-%d %H:%M:%S %Z")))
    }

    fn outcome(&self) -> String {
        let outcome = self.row.outcome().as_str();
        match &self.row.local_reason {
            Some(reason) => format!("{outcome}: {}", harmless(reason)),
            None => outcome.to_owned(),
        }
    }

    fn service(&self) -> Option<String> {
        let status = harmless(self.row.service_status.as_deref()?);
        Some(match &self.row.service_hangup_reason {
            Some(reason) => format!("{status}, {}", harmless(reason)),
            None => status,
        })
    }

    fn request(&self) -> Option<String> {
        let status = self.row.http_status.map(|status| format!("HTTP {status}"));
        let error = self.row.http_error.as_deref().map(harmless);
        let both = [status, error];
        let known: Vec<String> = both.into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.join(": "))
    }

    /// What happened, and when.
    fn course(&self) -> Vec<(u32, String)> {
        let row = self.row;
        let is_inbound = row.direction == Some(Direction::Inbound);
        let steps = [
            (Some(0), if is_inbound { "called" } else { "pressed" }),
            (row.sent_after_ms, "request sent"),
            (row.accepted_after_ms, "taken on by the service"),
            (row.ringing_after_ms, "rings"),
            (row.answered_after_ms, "answered"),
            (row.stream_after_ms, "media stream up"),
            (row.confirmed_after_ms, "confirmed with a key"),
            (row.joined_after_ms, "the two hear each other"),
            (row.ended_after_ms, "over"),
        ];
        let steps = steps
            .into_iter()
            .filter_map(|(ms, what)| Some((ms?, what.to_owned())));
        let opened = self.openings.iter().map(|opening| {
            let door = usize::from(opening.door);
            let door = self
                .manner
                .doors
                .get(door)
                .map_or_else(|| format!("door {door}"), |name| harmless(name));
            let by = opening.by.as_str();
            let number = opening.number.as_ref();
            let whose =
                number.map(|number| format!(" from {}", shown(number, self.manner.numbers)));
            let what = format!("{door} opened by {by}{}", whose.unwrap_or_default());
            (opening.after_ms, what)
        });
        steps.chain(opened).collect()
    }

    fn spoken(&self, source: Source) -> Vec<(u32, String)> {
        let of_source = self.transcript.iter().filter(|line| line.source == source);
        let said = of_source.map(|line| {
            let who = match line.party {
                Party::Device => "device",
                Party::Far => "far end",
            };
            (line.at_ms, format!("{who}: {}", harmless(&line.text)))
        });
        said.collect()
    }

    fn heading(&self, text: &mut String, what: &str) {
        *text += &format!("\n{}\n", lines(what, self.manner.width).join("\n"));
    }

    fn times(&self, text: &mut String, course: &[(u32, String)]) {
        for (ms, what) in course {
            let at = format!("{:7}.{:03}", ms / 1000, ms % 1000);
            self.entry(text, &at, what, TIMES);
        }
    }

    /// `name`, then `value` in a column of its own where there is room for two.
    fn entry(&self, text: &mut String, name: &str, value: &str, column: usize) {
        let column = column.max(width(name)) + 2;
        let room = self.manner.width.saturating_sub(column);
        if room < LEAST {
            for line in lines(&format!("{} {value}", name.trim()), self.manner.width) {
                *text += &format!("{line}\n");
            }
            return;
        }
        for (n, line) in lines(value, room).iter().enumerate() {
            let name = if n == 0 { name } else { "" };
            *text += &format!("{}{line}\n", padded(name, column));
        }
    }
}

/// Cells a column of values has at least.
const LEAST: usize = 16;
