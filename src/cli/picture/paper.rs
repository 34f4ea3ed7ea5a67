//! Writes the elements of an SVG file (SVG 1.1), escaped.

use std::fmt::Write;

/// Colours for light and dark, and the fonts. Meaning is never by colour alone:
/// each series has its name beside it.
const STYLE: &str = "\
text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}.soft{fill:#59636e}\
.ground{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0;fill:none}.axis{stroke:#59636e;fill:none}\
.mark{stroke:#1f2328;stroke-opacity:.45;fill:none}.note{stroke:#59636e;stroke-opacity:.6;fill:none}\
.mic{fill:#0969da}.far{fill:#1a7f37}path.mic,path.far{fill-opacity:.8}.delay{stroke:#8250df;stroke-width:1.5;fill:none}\
text.delay{fill:#8250df;stroke:none}.made-up{fill:#bc4c00}.skipped{fill:#cf222e}\
@media(prefers-color-scheme:dark){\
text{fill:#e6edf3}.soft{fill:#9198a1}.ground{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}\
.axis{stroke:#9198a1}.mark{stroke:#e6edf3}.note{stroke:#9198a1}.mic{fill:#4493f8}.far{fill:#3fb950}\
.delay{stroke:#ab7df8}text.delay{fill:#ab7df8}.made-up{fill:#f0883e}.skipped{fill:#ff7b72}}";

/// Where a text is: a point, and which end of the text lies there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    x: f64,
    y: f64,
    anchor: &'static str,
}

impl Place {
    /// The text begins here.
    pub(super) fn left(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "start",
        }
    }

    /// The text ends here.
    pub(super) fn right(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "end",
        }
    }

    /// The middle of the text is here.
    pub(super) fn middle(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            anchor: "middle",
        }
    }
}

/// What was drawn so far.
#[derive(Debug)]
pub(super) struct Paper {
    body: String,
}

impl Paper {
    pub(super) fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    pub(super) fn text(&mut self, place: Place, class: &str, text: &str) {
        let Place { x, y, anchor } = place;
        let text = escape(text);
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.put(format_args!(
            r#"<path class="{class}" d="M{:.1} {:.1}L{:.1} {:.1}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    /// A path by its commands.
    pub(super) fn path(&mut self, class: &str, commands: &str) {
        if !commands.is_empty() {
            self.put(format_args!(r#"<path class="{class}" d="{commands}"/>"#));
        }
    }

    /// A rectangle, `part` of its colour.
    pub(super) fn bar(&mut self, class: &str, at: (f64, f64), size: (f64, f64), part: f64) {
        let ((x, y), (width, height)) = (at, size);
        self.put(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill-opacity="{part:.2}"/>"#
        ));
    }

    /// The whole file; `title` and `summary` are for those who cannot see it.
    pub(super) fn finish(self, width: f64, height: f64, title: &str, summary: &str) -> String {
        let (title, summary) = (escape(title), escape(summary));
        let body = self.body;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
             <title>{title}</title>\n<desc>{summary}</desc>\n<style>{STYLE}</style>\n\
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
