//! Commands of operators.

use serde::{Deserialize, Serialize};
use tunnel_balancer_core::limits;

use super::change::Change;
use super::error::ControlError;
use crate::json;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// See [`Change::Drain`].
    Drain,
    /// See [`Change::Enable`].
    Enable,
    /// See [`Change::Disable`].
    Disable,
    /// See [`Change::Weight`].
    Weight,
    /// See [`Change::Force`].
    Force,
    /// See [`Change::Maintenance`].
    Maintenance,
    /// See [`Change::Failback`].
    Failback,
    /// Ends the changes of a server, of a service and its servers, or all of them.
    Clear,
}

impl Action {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Weight => "weight",
            Self::Force => "force",
            Self::Maintenance => "maintenance",
            Self::Failback => "failback",
            Self::Clear => "clear",
        }
    }

    /// Returns whether it changes one server.
    const fn is_for_server(self) -> bool {
        matches!(self, Self::Drain | Self::Enable | Self::Disable | Self::Weight | Self::Force)
    }

    /// Returns the change with the values of a command. `None` if a value is missing.
    pub(super) fn change(self, weight: Option<u32>, on: Option<bool>) -> Option<Change> {
        match self {
            Self::Drain => Some(Change::Drain),
            Self::Enable => Some(Change::Enable),
            Self::Disable => Some(Change::Disable),
            Self::Weight => weight.map(Change::Weight),
            Self::Force => Some(Change::Force),
            Self::Maintenance => on.map(Change::Maintenance),
            Self::Failback => Some(Change::Failback),
            Self::Clear => None,
        }
    }
}

/// One command, as it is sent in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// The service: host and path. [`Action::Clear`] without it is for all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The name of the server, for the actions that change one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The weight, for [`Action::Weight`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether it starts, for [`Action::Maintenance`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// How long the change lasts, in milliseconds. Default: until it is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it is made, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Where it is made, such as `alice@laptop`, for the history. Default: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl Command {
    /// The largest weight, as in the configuration.
    pub const MAX_WEIGHT: u32 = *limits::WEIGHT.end();
    /// The shortest and the longest duration of a change, in milliseconds: a second and 30 days.
    pub const DURATIONS: std::ops::RangeInclusive<u64> = 1_000..=30 * 24 * 3_600_000;
    /// The largest number of characters of a comment.
    const MAX_COMMENT: usize = 200;
    /// The largest number of characters of an origin.
    pub const MAX_ORIGIN: usize = 100;

    /// Creates a command without details.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            service: None,
            server: None,
            weight: None,
            on: None,
            duration_ms: None,
            comment: None,
            origin: None,
        }
    }

    /// Parses a command in JSON.
    ///
    /// # Errors
    /// If it is not one JSON object with known fields.
    pub fn parse(body: &[u8]) -> Result<Self, ControlError> {
        let text = String::from_utf8_lossy(body);
        json::from_str(&text).map_err(|error| {
            let hint = r#"send an object such as {"action":"drain","service":"app.example.com","server":"app-a"}"#;
            ControlError::invalid(format!("not a command: {error}")).hint(hint)
        })
    }

    /// Returns the change that it makes; `None` for [`Action::Clear`].
    ///
    /// # Errors
    /// If a field is missing, out of range, or not one of this action.
    pub(super) fn change(&self) -> Result<Option<Change>, ControlError> {
        let (action, name) = (self.action, self.action.as_str());
        let missing = |field: &str| Err(ControlError::invalid(format!("`{name}` needs the field `{field}`")));
        let unexpected = |field: &str| Err(ControlError::invalid(format!("`{name}` has no field `{field}`")));
        if action != Action::Clear && self.service.is_none() {
            return missing("service");
        }
        if action.is_for_server() && self.server.is_none() {
            return missing("server");
        }
        let takes_server = action.is_for_server() || (action == Action::Clear && self.service.is_some());
        if self.server.is_some() && !takes_server {
            return unexpected("server");
        }
        match self.weight {
            None if action == Action::Weight => return missing("weight"),
            Some(_) if action != Action::Weight => return unexpected("weight"),
            Some(weight) if weight > Self::MAX_WEIGHT => {
                return Err(out_of_range(&format!("a weight from 0 to {}", Self::MAX_WEIGHT), weight));
            }
            _ => {}
        }
        match self.on {
            None if action == Action::Maintenance => return missing("on"),
            Some(_) if action != Action::Maintenance => return unexpected("on"),
            _ => {}
        }
        match self.duration_ms {
            Some(_) if matches!(action, Action::Clear | Action::Failback) => return unexpected("duration_ms"),
            Some(millis) if !Self::DURATIONS.contains(&millis) => {
                return Err(out_of_range("a duration from 1 second to 30 days", format!("{millis} ms")));
            }
            _ => {}
        }
        let words = [("comment", &self.comment, Self::MAX_COMMENT), ("origin", &self.origin, Self::MAX_ORIGIN)];
        for (field, value, max) in words {
            let Some(value) = value else { continue };
            if value.chars().count() > max {
                return Err(out_of_range(&format!("at most {max} characters of `{field}`"), value.chars().count()));
            }
            if value.chars().any(char::is_control) {
                return Err(ControlError::invalid(format!("`{field}` has a control character"))
                    .hint("write one line of visible characters"));
            }
        }
        Ok(action.change(self.weight, self.on))
    }
}

fn out_of_range(expected: &str, found: impl std::fmt::Display) -> ControlError {
    ControlError::new(400, "out_of_range", format!("expected {expected}, found {found}"))
}
