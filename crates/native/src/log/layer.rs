//! Writes the events of this crate as lines.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tunnel_balancer_core::LogLevel;

use super::{Line, LogFormat, LogWriter, TARGET};

/// A layer that writes the events of this crate up to a level. Other events are ignored.
#[derive(Debug)]
pub struct LogLayer {
    writer: LogWriter,
    level: LevelFilter,
}

impl LogLayer {
    /// Creates a layer.
    pub const fn new(writer: LogWriter, level: LogLevel) -> Self {
        let level = match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        Self { writer, level }
    }

    /// Makes it the only layer of the process. A subscriber that was installed before stays.
    pub fn install(self) {
        let subscriber = tracing_subscriber::registry().with(self);
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == TARGET && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut fields = Fields { line: None, level, format: self.writer.format() };
        event.record(&mut fields);
        if let Some(line) = fields.line {
            self.writer.line(&line.finish());
        }
    }
}

/// Writes the fields of an event. The first one is `event`.
struct Fields {
    line: Option<Line>,
    level: &'static str,
    format: LogFormat,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match &mut self.line {
            Some(line) => line.string(field.name(), value),
            None => self.line = Some(Line::new(self.format, self.level, value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.line.iter_mut().for_each(|line| line.number(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.line.iter_mut().for_each(|line| line.flag(field.name(), value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
