//! Where log lines go: standard error, in the form the reader wants.
//!
//! Under systemd the journal adds the time and wants the level as `<6>` in
//! front of the line (sd-daemon(3)); a person at a terminal gets both in words.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Level {
    /// What needs a person.
    Error,
    /// What mended itself or will.
    Warn,
    /// A call's story.
    Info,
    /// Each request and each socket.
    Debug,
}

/// Begins to log. Once per process.
pub(super) fn start(level: Level) {
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .event_format(Line {
            journal: std::env::var_os("JOURNAL_STREAM").is_some(),
        })
        .init();
}

struct Line {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (priority, word) = match *metadata.level() {
            tracing::Level::ERROR => (3, "error: "),
            tracing::Level::WARN => (4, "warning: "),
            tracing::Level::INFO => (6, ""),
            tracing::Level::DEBUG | tracing::Level::TRACE => (7, "debug: "),
        };
        if self.journal {
            write!(writer, "<{priority}>")?;
        } else {
            let now = jiff::Timestamp::now().strftime("%H:%M:%S%.3f");
            write!(writer, "{now} {word}")?;
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
