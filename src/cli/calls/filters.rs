//! Which calls: the options that `list` and `export` share.

use clap::Args;
use jiff::Zoned;

use super::Failure;
use super::when::{BadTime, When};
use crate::edge::store::{BadNumberFilter, Direction, Filter, NumberFilter, Outcome};

#[derive(Debug, Args)]
#[command(next_help_heading = "Which calls")]
pub(super) struct Filters {
    /// Begun then or later: 2h, yesterday, 2026-11-20, 2026-11-20T14:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "remote")]
    since: Option<When>,
    /// Begun before then; a day counts to its end
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "remote")]
    until: Option<When>,
    /// With this number, or one that ends in these digits
    #[arg(long, value_name = "NUMBER", value_parser = number, conflicts_with = "remote")]
    number: Option<NumberFilter>,
    /// What became of it: answered, unanswered, voicemail, …; several with commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',', value_parser = outcome, conflicts_with = "remote")]
    outcome: Vec<Outcome>,
    /// Who called whom: outbound or inbound
    #[arg(long, value_name = "WORD", value_parser = direction, conflicts_with = "remote")]
    direction: Option<Direction>,
    /// From this button: its name, or its place in the configuration, from 0
    #[arg(long, value_name = "NAME", conflicts_with = "remote")]
    button: Option<String>,
}

impl Filters {
    /// The filter they make at this moment, where the buttons have these names.
    pub(super) fn filter(&self, now: &Zoned, buttons: &[String]) -> Result<Filter, Failure> {
        let button = self.button.as_deref();
        Ok(Filter {
            since: self.since.map(|when| when.begin(now)),
            until: self.until.map(|when| when.end(now)),
            number: self.number.clone(),
            outcomes: self.outcome.clone(),
            direction: self.direction,
            button: button.map(|name| place(name, buttons)).transpose()?,
        })
    }
}

/// A button that was taken out of the configuration still has calls on record:
/// a place is taken as it is.
fn place(name: &str, buttons: &[String]) -> Result<u8, Failure> {
    let named = buttons.iter().position(|button| button == name);
    let place = named.and_then(|place| u8::try_from(place).ok());
    place
        .or_else(|| name.parse().ok())
        .ok_or_else(|| Failure::NoButton {
            name: name.to_owned(),
            buttons: buttons.to_vec(),
        })
}

fn time(text: &str) -> Result<When, BadTime> {
    When::parse(text)
}

fn number(text: &str) -> Result<NumberFilter, BadNumberFilter> {
    NumberFilter::parse(text)
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::parse(word).ok_or_else(|| one_of(Outcome::ALL.iter().map(|one| one.as_str())))
}

fn direction(word: &str) -> Result<Direction, String> {
    Direction::parse(word).ok_or_else(|| one_of(Direction::ALL.iter().map(|one| one.as_str())))
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("write one of {}", words.collect::<Vec<_>>().join(", "))
}
