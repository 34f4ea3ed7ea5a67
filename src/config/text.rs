//! What an announcement says: words, and places in them for what is known only
//! when it is spoken.

use std::fmt;
use std::str::FromStr;

/// Most bytes of a text in the file: with everything filled in it stays well
/// below the 4 KiB that are spoken at most.
const TEXT_MAX: usize = 2000;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    Place,
    Time,
    Date,
    Button,
}

/// The placeholders by name.
const PLACEHOLDERS: [(&str, Piece); 4] = [
    ("place", Piece::Place),
    ("time", Piece::Time),
    ("date", Piece::Date),
    ("button", Piece::Button),
];

/// What stands in the place of the placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where the device is.
    pub place: &'a str,
    /// What the clock shows.
    pub time: &'a str,
    /// What the calendar shows.
    pub date: &'a str,
    /// Which button, or schedule's button, asked for it.
    pub button: &'a str,
}

impl Text {
    /// The text with everything filled in.
    #[must_use]
    pub fn render(&self, facts: &Facts<'_>) -> String {
        let piece = |piece: &'_ Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Place => facts.place.to_owned(),
            Piece::Time => facts.time.to_owned(),
            Piece::Date => facts.date.to_owned(),
            Piece::Button => facts.button.to_owned(),
        };
        self.0.iter().map(piece).collect()
    }

    /// Whether it says where the device is.
    #[must_use]
    pub fn names_place(&self) -> bool {
        self.0.contains(&Piece::Place)
    }

    /// Whether it says what the clock or the calendar shows.
    #[must_use]
    pub fn names_time(&self) -> bool {
        self.0.contains(&Piece::Time) || self.0.contains(&Piece::Date)
    }
}

impl FromStr for Text {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        if text.trim().is_empty() {
            return Err(BadText::Empty);
        }
        if text.len() > TEXT_MAX {
            return Err(BadText::Length(text.len()));
        }
        if text.contains(|c: char| c.is_control() && c != '\n') {
            return Err(BadText::Control);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (words, behind) = rest.split_at(at);
            let name = behind.strip_prefix('{').and_then(|t| t.split_once('}'));
            let (name, after) = name.ok_or(BadText::Brace)?;
            let known = PLACEHOLDERS.iter().find(|(n, _)| *n == name);
            let (_, piece) =
                known.ok_or_else(|| BadText::Unknown(name.chars().take(20).collect()))?;
            if !words.is_empty() {
                pieces.push(Piece::Words(words.to_owned()));
            }
            pieces.push(piece.clone());
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Words(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl fmt::Display for Text {
    /// As in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Words(words) => f.write_str(words)?,
                other => {
                    let named = PLACEHOLDERS.iter().find(|(_, piece)| piece == other);
                    write!(f, "{{{}}}", named.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

/// Why a text cannot be announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing but space.
    #[error("there is nothing to say in it; write the words")]
    Empty,
    /// Too long.
    #[error("it has {0} bytes; a text has at most {TEXT_MAX}")]
    Length(usize),
    /// Not for people.
    #[error("there are control characters in it; write words and ends of lines only")]
    Control,
    /// A brace by itself.
    #[error("a {{ or }} stands alone; placeholders are {{place}}, {{time}}, {{date}}, {{button}}")]
    Brace,
    /// A placeholder there is not.
    #[error("{{{0}}} is no placeholder; there are {{place}}, {{time}}, {{date}} and {{button}}")]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'_> = Facts {
        place: "Main Street 1",
        time: "14:05",
        date: "1 June",
        button: "lift",
    };

    #[test]
    fn placeholders_are_filled_in() {
        let cases = [
            ("Water in the cellar.", "Water in the cellar."),
            ("{button}: {place}, {time}", "lift: Main Street 1, 14:05"),
            ("{date}{date}", "1 June1 June"),
            ("a\nb", "a\nb"),
        ];
        for (text, want) in cases {
            let parsed: Text = text.parse().unwrap();
            assert_eq!(parsed.render(&FACTS), want);
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let text: Text = "{place}".parse().unwrap();
        let facts = Facts {
            place: "{time}",
            ..FACTS
        };
        assert_eq!(text.render(&facts), "{time}");
    }

    #[test]
    fn texts_that_cannot_be_said_say_why() {
        let cases = [
            (" \n", "nothing to say"),
            ("{plaec}", "{plaec} is no placeholder; there are {place}"),
            ("{place", "stands alone"),
            ("place}", "stands alone"),
            ("{}", "{} is no placeholder"),
            ("a\u{1b}[2J", "control characters"),
            (&"x".repeat(2001), "2001 bytes"),
        ];
        for (text, want) in cases {
            let said = text.parse::<Text>().unwrap_err().to_string();
            assert!(said.contains(want), "{said}");
        }
    }
}
