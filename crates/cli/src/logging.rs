//! Where log lines go and what they look like.

use std::fmt::{self, Debug, Write as _};
use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Log flags.
#[derive(clap::Args, Debug)]
pub struct Logging {
    /// Form of log lines.
    #[arg(long, default_value = "console", value_parser = ["console", "logfmt", "json"], help_heading = "Log")]
    log_format: String,
    /// Least severe lines shown; also a filter such as `info,flotilla_p2p=debug`.
    #[arg(long, default_value = "info", help_heading = "Log")]
    log_level: String,
    /// Colours.
    #[arg(long, default_value = "auto", value_parser = ["auto", "force", "disable"], help_heading = "Log")]
    log_color: String,
    /// Also write log lines to this file.
    #[arg(long, help_heading = "Log")]
    log_output_path: Option<PathBuf>,
}

impl Logging {
    /// Starts logging, to stderr and to the file if one is named.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log_level).with_context(|| {
            format!(
                "--log-level {}: expected debug, info, warn, error or a filter",
                self.log_level
            )
        })?;
        let colour = match self.log_color.as_str() {
            "force" => true,
            "disable" => false,
            _ => std::io::stderr().is_terminal() && self.log_output_path.is_none(),
        };
        let writer = match &self.log_output_path {
            None => BoxMakeWriter::new(std::io::stderr),
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.with_context(|| format!("--log-output-path {}", path.display()))?;
                BoxMakeWriter::new(std::io::stderr.and(Mutex::new(file)))
            }
        };
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colour)
            .with_writer(writer);
        match self.log_format.as_str() {
            "json" => lines.json().finish().with(Counted).init(),
            "logfmt" => {
                let lines = lines.with_ansi(false).event_format(Logfmt);
                lines.finish().with(Counted).init();
            }
            _ => lines.finish().with(Counted).init(),
        }
        Ok(())
    }
}

/// Counts warnings and errors for the metrics.
struct Counted;

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        flotilla_node::telemetry::log_line(event.metadata());
    }
}

/// One list of `key=value` per line; values with spaces, quotes or equal signs are quoted.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level().as_str().to_lowercase();
        write!(writer, "level={level} ts=")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, " topic={}", event.metadata().target())?;
        let mut fields = String::new();
        event.record(&mut Fields(&mut fields));
        writeln!(writer, "{fields}")
    }
}

struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn put(&mut self, field: &Field, text: &str) {
        let name = if field.name() == "message" {
            "msg"
        } else {
            field.name()
        };
        let needs_quotes = |letter: char| {
            letter.is_whitespace() || letter.is_control() || matches!(letter, '"' | '=')
        };
        // Writing to a string does not fail.
        let _ = match text.is_empty() || text.contains(needs_quotes) {
            true => write!(self.0, " {name}={text:?}"),
            false => write!(self.0, " {name}={text}"),
        };
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }
}
