//! Text for a terminal of any width: foreign words made harmless, measured,
//! cut and broken.
//!
//! Widths are cells of the terminal: most characters take one, those of East
//! Asian scripts and pictures two (Unicode UAX #11, W and F), marks none.

/// `text` on one line, without what would steer a terminal or turn the
/// direction of what follows.
pub(super) fn harmless(text: &str) -> String {
    text.replace(is_steering, "\u{fffd}")
}

fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cells that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(cells).sum()
}

fn cells(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{200c}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The start of `text` that fits into `room` cells; `…` shows that there is more.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let (kept, _) = split(text, room.saturating_sub(1));
    let more = if room > 0 { "…" } else { "" };
    format!("{kept}{more}")
}

/// `text` behind as many blanks as it needs to be `room` cells wide.
pub(super) fn padded(text: &str, room: usize) -> String {
    let blanks = room.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(blanks))
}

/// Breaks `text` between words into lines of `room` cells, and words that are
/// longer than a line.
pub(super) fn lines(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for mut word in text.split_whitespace() {
        let fits = line.is_empty() || width(&line) + 1 + width(word) <= room;
        if !fits {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while width(word) > room {
            let (start, rest) = split(word, room);
            lines.push(start.to_owned());
            word = rest;
        }
        line += word;
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// The longest start of `text` within `room` cells, and the rest.
fn split(text: &str, room: usize) -> (&str, &str) {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += cells(*c);
        used > room
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_replaced() {
        assert_eq!(
            harmless("a\u{1b}[31m\r\n\u{202e}b\u{85}"),
            "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b\u{fffd}"
        );
        assert_eq!(harmless("Tür, 門, e\u{301}"), "Tür, 門, e\u{301}");
    }

    #[test]
    fn text_is_cut_by_what_it_takes_on_the_screen() {
        let cases = [
            ("door", 4, "door"),
            ("doors", 4, "doo…"),
            ("門門門", 6, "門門門"),
            ("門門門", 5, "門門…"),
            ("門門門", 4, "門…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("x", 0, ""),
            ("xy", 1, "…"),
        ];
        for (text, room, want) in cases {
            assert_eq!(cut(text, room), want, "{text} in {room}");
            assert!(width(&cut(text, room)) <= room, "{text} in {room}");
        }
    }

    #[test]
    fn lines_are_never_longer_than_the_room() {
        let text = format!("a few words, {} and 門門門門門 again", "x".repeat(25));
        for room in 2..40 {
            let broken = lines(&text, room);
            assert!(
                broken.iter().all(|line| width(line) <= room),
                "{room}: {broken:?}"
            );
            let whole = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(whole(&broken.concat()), whole(&text), "{room}");
        }
        assert_eq!(lines("", 10), [""]);
        assert_eq!(lines("one two", 7), ["one two"]);
        assert_eq!(lines("one two", 6), ["one", "two"]);
    }
}
