//! Text that people read or hear: made harmless, bounded, and cut into
//! sentences.

/// Most bytes of text that is spoken at once.
pub const SPOKEN_MAX: usize = 4 * 1024;
/// Most bytes of one transcript.
pub const TRANSCRIPT_MAX: usize = 2 * 1024;
/// A sentence longer than this is sent in pieces.
const SENTENCE_MAX: usize = 256;

/// `text` on one line: of white space in a row one space is kept, and what is
/// no character to be seen or spoken is left out. At most `max` bytes, cut
/// between characters.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let mut clean = String::new();
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        let twice = c == ' ' && (clean.is_empty() || clean.ends_with(' '));
        if twice || is_unspeakable(c) {
            continue;
        }
        if clean.len() + c.len_utf8() > max {
            break;
        }
        clean.push(c);
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Control characters, and marks that turn the direction of the line they
/// stand in (UAX #9 §2), with which a text can show what it does not say.
fn is_unspeakable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Clean text in the pieces it is sent in: sentences, each with the space
/// behind it, so that the pieces together are the text. The service begins to
/// speak the first while the next is on its way.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (sentence, behind) = rest.split_at(sentence_end(rest));
        rest = behind;
        (!sentence.is_empty()).then_some(sentence)
    })
}

/// Behind the first sentence's space; where there is none within
/// [`SENTENCE_MAX`], behind the last space there, or the last character.
fn sentence_end(text: &str) -> usize {
    let mut before = None;
    let mut word = None;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if c == ' ' {
            if matches!(before, Some('.' | '!' | '?' | '…' | ';' | ':')) {
                return end;
            }
            word = Some(end);
        }
        // The full stops of Chinese and Japanese have no space behind them.
        if matches!(c, '。' | '！' | '？') {
            return end;
        }
        if end >= SENTENCE_MAX {
            return word.unwrap_or(end);
        }
        before = Some(c);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_harmless_line() {
        let cases = [
            ("Water in the cellar.", "Water in the cellar."),
            ("  two\r\n\tlines \n", "two lines"),
            ("bell\u{7} and \u{1b}[31mred\u{0}", "bell and [31mred"),
            ("back\u{202E}wards\u{2066}", "backwards"),
            ("c1 \u{9b}31m", "c1 31m"),
            ("\u{0} \u{1}", ""),
            ("", ""),
            ("Tür, кафе, 门", "Tür, кафе, 门"),
        ];
        for (text, want) in cases {
            assert_eq!(clean(text, 100), want, "{text:?}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        for max in 0..40 {
            let cut = clean("üöä 门门 word \u{1F514}\u{1F514}", max);
            assert!(cut.len() <= max, "{max}: {cut:?}");
            assert_eq!(cut, clean(&cut, max), "{max}");
        }
        assert_eq!(clean(&"x".repeat(1 << 20), SPOKEN_MAX).len(), SPOKEN_MAX);
    }

    #[test]
    fn sentences_are_the_text_in_pieces() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("One", &["One"]),
            ("One. Two! Three", &["One. ", "Two! ", "Three"]),
            ("At 3.30 p.m. sharp", &["At 3.30 p.m. ", "sharp"]),
            ("Was? Nein.", &["Was? ", "Nein."]),
            ("门。门！x", &["门。", "门！", "x"]),
            (". .", &[". ", "."]),
        ];
        for (text, want) in cases {
            assert_eq!(sentences(text).collect::<Vec<_>>(), want, "{text}");
        }
    }

    #[test]
    fn a_sentence_without_an_end_is_cut_at_a_space() {
        let text = clean(&"word ".repeat(1000), SPOKEN_MAX);
        let one_word = clean(&"门".repeat(2000), SPOKEN_MAX);
        for text in [text, one_word] {
            let pieces: Vec<_> = sentences(&text).collect();
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|p| p.len() <= SENTENCE_MAX + 2));
            assert!(pieces.len() <= text.len() / (SENTENCE_MAX / 2));
        }
    }
}
