//! Text for a terminal of eighty columns.

use std::os::fd::AsFd;
use std::time::Duration;

use crate::edge::realtime;

/// Columns of the terminal an installer has at the least.
pub(super) const WIDTH: usize = 80;

/// Columns of the terminal behind `output`; where there is none, what the
/// variable COLUMNS says, or else [`WIDTH`].
pub(super) fn terminal_width(output: &impl AsFd) -> usize {
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = realtime::terminal_width(output).or_else(variable);
    width.filter(|width| *width > 0).unwrap_or(WIDTH)
}

/// Breaks `text` between words, so that each line ends before [`WIDTH`] and
/// begins at column `indent`, where the first one already is.
pub(super) fn write_wrapped(out: &mut String, text: &str, indent: usize) {
    let mut column = indent;
    for (n, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if n > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if n > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// A time span in its largest unit.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_edge_and_long_words_stay_whole() {
        let path = format!("/{}", "x".repeat(100));
        let mut out = "    ".to_owned();
        write_wrapped(&mut out, &format!("{}{path}", "word ".repeat(30)), 4);
        let (long, short): (Vec<_>, Vec<_>) = out.lines().partition(|l| l.contains('/'));
        assert_eq!(long, [format!("    {path}")]);
        assert_eq!(short.len(), 2);
        assert!(
            short
                .iter()
                .all(|l| l.len() <= WIDTH && l.starts_with("    word"))
        );
    }

    #[test]
    fn spans_have_the_unit_a_person_would_use() {
        let cases = [
            (1, "1 s"),
            (125, "2 min"),
            (7200, "2 h"),
            (200_000, "2 days"),
        ];
        for (seconds, want) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
    }
}
