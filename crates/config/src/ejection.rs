//! `ejection`: when servers are ejected for failures in traffic.

use std::time::Duration;

use tunnel_balancer_core::{Conflict, EjectionSettings, limits};

use crate::diagnostic::Code;
use crate::duration::{duration, format_duration};
use crate::primitives::{number, or_disabled, percent};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::value_schema::ValueSchema;

/// Ejection settings, some of which may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartialEjection {
    settings: EjectionSettings,
    /// `None`: absent, so that it is at least `base_time`.
    max_time: Option<Duration>,
}

impl PartialEjection {
    /// Returns the settings. If it is absent, `max_time` is at least `base_time`.
    pub(crate) fn complete(self) -> EjectionSettings {
        let mut settings = self.settings;
        let default = || EjectionSettings::default().max_time.max(settings.base_time);
        settings.max_time = self.max_time.unwrap_or_else(default);
        settings
    }
}

pub(crate) const KEYS: &[Setting<PartialEjection>] = &[
    Setting::new(
        "consecutive_failures",
        "3",
        "The number of failures in a row that eject a server. A tunnel that is down ejects it at once. The last \
         available server is only ejected if it refuses connections or if its probe fails, too.",
        ValueSchema::Number(limits::CONSECUTIVE_FAILURES),
        |partial, field| {
            field.set(&mut partial.settings.consecutive_failures, |value| number(value, limits::CONSECUTIVE_FAILURES));
        },
    ),
    Setting::new(
        "window_failures",
        "5",
        "The number of failures among the last 20 responses that also ejects a server. `false`: only failures in a \
         row do.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Number(limits::WINDOW_FAILURES)]),
        |partial, field| {
            let read = |value| or_disabled(value, |value| number(value, limits::WINDOW_FAILURES));
            field.set(&mut partial.settings.window_failures, read);
        },
    ),
    Setting::new(
        "base_time",
        "10s",
        "The duration of the first ejection. Each further one is twice as long.",
        ValueSchema::Duration(limits::DURATION),
        |partial, field| field.set(&mut partial.settings.base_time, |value| duration(value, limits::DURATION)),
    ),
    Setting::new(
        "max_time",
        "5m",
        "The longest duration of an ejection. If it is absent, it is at least `base_time`.",
        ValueSchema::Duration(limits::DURATION),
        |partial, field| field.set(&mut partial.max_time, |value| duration(value, limits::DURATION).map(Some)),
    ),
    Setting::new(
        "max_percent",
        "100",
        "The largest share of servers that are ejected at the same time, in percent. One can always be ejected.",
        ValueSchema::Percent(limits::MAX_EJECTED_PERCENT),
        |partial, field| {
            field.set(&mut partial.settings.max_percent, |value| percent(value, limits::MAX_EJECTED_PERCENT))
        },
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared("ejection", &ValueSchema::Map(|| Setting::docs(KEYS)));

/// Reads it over the value of `defaults`.
pub(crate) fn ejection(partial: &mut PartialEjection, field: Field<'_>) {
    let Some(map) = field.map("a map of ejection settings") else { return };
    let times = map.present(&["base_time", "max_time"]);
    map.read_into(partial, KEYS);
    if let Some(Conflict::TooLong { duration: base, longest: max, .. }) = partial.complete().conflicts().next() {
        let (base, max) = (format_duration(base), format_duration(max));
        let message = format!("`base_time` ({base}) is longer than `max_time` ({max})");
        let hint = format!("set `max_time` to {base} or more");
        times.report(Report::new(Code::Conflict, message).hint(hint));
    }
}
