//! Which attempts a person wants to see.
//!
//! Pure: a row in, yes or no out. The record is at most some ten thousand rows
//! long, so it is read from its end until enough are found, and no index has to
//! be kept on a card that wears out.

use super::row::Row;
use super::words::{Direction, Outcome};
use crate::edge::clock::Stamp;
use crate::units::{BadNumber, E164};

/// All that is set must be so; the default takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Begun at this moment or later.
    pub since: Option<Stamp>,
    /// Begun before this moment.
    pub until: Option<Stamp>,
    /// The number at the other end.
    pub number: Option<NumberFilter>,
    /// One of these; all when there are none.
    pub outcomes: Vec<Outcome>,
    /// Who called whom.
    pub direction: Option<Direction>,
    /// The button, by its place in the configuration, from 0.
    pub button: Option<u8>,
}

impl Filter {
    /// Whether `row` is wanted. What a row does not know it does not match.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        let begun = |is: &dyn Fn(Stamp) -> bool| row.pressed_at.is_some_and(is);
        self.since.is_none_or(|since| begun(&|at| at >= since))
            && self.until.is_none_or(|until| begun(&|at| at < until))
            && self.direction.is_none_or(|way| row.direction == Some(way))
            && self.button.is_none_or(|button| row.button == Some(button))
            && (self.outcomes.is_empty() || self.outcomes.contains(&row.outcome()))
            && self.number.as_ref().is_none_or(|number| number.is_of(row))
    }
}

/// A number, or how it ends: shown numbers have their last digits only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberFilter {
    /// This one.
    Whole(E164),
    /// Any that ends in these digits.
    EndsIn(String),
}

impl NumberFilter {
    /// Takes `+` and a whole number, or its last digits; with the spaces,
    /// dots, hyphens and brackets people write.
    ///
    /// # Errors
    /// Says what is wrong in words for the person who typed it.
    pub fn parse(text: &str) -> Result<Self, BadNumberFilter> {
        if text.trim_start().starts_with('+') {
            return Ok(Self::Whole(E164::parse(text)?));
        }
        let is_space = |c: &char| matches!(c, ' ' | '-' | '.' | '(' | ')');
        let digits: String = text.chars().filter(|c| !is_space(c)).collect();
        match digits.chars().find(|c| !c.is_ascii_digit()) {
            Some(other) => Err(BadNumber::Character(other).into()),
            None if (1..=15).contains(&digits.len()) => Ok(Self::EndsIn(digits)),
            None => Err(BadNumberFilter::Length),
        }
    }

    fn is_of(&self, row: &Row) -> bool {
        row.far_number().is_some_and(|number| match self {
            Self::Whole(whole) => number == whole,
            Self::EndsIn(digits) => number.as_str().ends_with(digits),
        })
    }
}

/// Why a text names no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNumberFilter {
    /// Not as numbers are written.
    #[error(transparent)]
    Number(#[from] BadNumber),
    /// No digit, or more than a number has.
    #[error("write a whole number like +4930123456, or its last 1 to 15 digits")]
    Length,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_or_an_end() {
        let ends = |digits: &str| Ok(NumberFilter::EndsIn(digits.into()));
        assert_eq!(NumberFilter::parse("456"), ends("456"));
        assert_eq!(NumberFilter::parse(" 12-34.56 "), ends("123456"));
        let whole = NumberFilter::Whole(E164::parse("+4930123456").unwrap());
        assert_eq!(NumberFilter::parse("+49 30 123456"), Ok(whole));
        for (text, want) in [
            (
                "",
                "write a whole number like +4930123456, or its last 1 to 15 digits",
            ),
            (
                "1234567890123456",
                "write a whole number like +4930123456, or its last 1 to 15 digits",
            ),
            ("45x", "'x' does not belong in a telephone number"),
            ("…456", "'…' does not belong in a telephone number"),
            (
                "+049",
                "no country code starts with 0; write +49 30 …, not +0 30 …",
            ),
        ] {
            assert_eq!(
                NumberFilter::parse(text).unwrap_err().to_string(),
                want,
                "{text}"
            );
        }
    }
}
