//! Writes the elements of an SVG file (SVG 1.1), escaped.

use std::fmt::Write;

/// Where a text is: a point, and which end of the text lies there.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Place {
    x: f64,
    y: f64,
    anchor: &'static str,
}

impl Place {
    /// The text begins here.
    pub(in crate::cli) fn left(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "start",
        }
    }

    /// The text ends here.
    pub(in crate::cli) fn right(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "end",
        }
    }

    /// The middle of the text is here.
    pub(in crate::cli) fn middle(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "middle",
        }
    }
}

/// What was drawn so far.
#[derive(Debug)]
pub(in crate::cli) struct Paper {
    style: &'static str,
    body: String,
}

impl Paper {
    /// With the colours of its classes.
    pub(in crate::cli) fn new(style: &'static str) -> Self {
        Self {
            style,
            body: String::new(),
        }
    }

    pub(in crate::cli) fn text(&mut self, place: Place, class: &str, text: &str) {
        let Place { x, y, anchor } = place;
        let text = escape(text);
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(in crate::cli) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.put(format_args!(
            r#"<path class="{class}" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    /// A path by its commands.
    pub(in crate::cli) fn path(&mut self, class: &str, commands: &str) {
        if !commands.is_empty() {
            self.put(format_args!(r#"<path class="{class}" d="{commands}"/>"#));
        }
    }

    /// A rectangle, `part` of its colour.
    pub(in crate::cli) fn bar(&mut self, class: &str, at: (f64, f64), size: (f64, f64), part: f64) {
        let ((x, y), (width, height)) = (at, size);
        self.put(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill-opacity="{part:.2}"/>"#
        ));
    }

    /// The whole file; `title` and `summary` are for those who cannot see it.
    pub(in crate::cli) fn finish(
        self,
        width: f64,
        height: f64,
        title: &str,
        summary: &str,
    ) -> String {
        let (title, summary) = (escape(title), escape(summary));
        let (style, body) = (self.style, self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
             <title>{title}</title>\n<desc>{summary}</desc>\n<style>{style}</style>\n\
             <rect class=\"ground\" x=\".5\" y=\".5\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\"/>\n\
             {body}</svg>\n",
            width - 1.0,
            height - 1.0
        )
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        _ = writeln!(self.body, "{element}");
    }
}

/// `text` as XML has it, without what XML 1.0 does not (§2.2), without controls,
/// and without what turns the direction of writing: some of it came from
/// elsewhere.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_whitespace() => escaped.push(' '),
            c if c.is_control() || is_hidden(c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
}
