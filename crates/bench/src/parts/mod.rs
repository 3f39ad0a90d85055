//! The parts of a run.

mod cold_start;
mod configuration;
mod failover;
mod long;
mod native;
mod reload;
mod selection;
mod services;
mod sharing;
mod size;
mod worker;

use crate::Result;
use crate::machine::load_average;
use crate::options::Options;
#[cfg(test)]
use crate::sheet::Metric;
use crate::sheet::Sheet;

/// One part. The variants are in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Worker,
    Sharing,
    ColdStart,
    Size,
    Native,
    Failover,
    Selection,
    Services,
    Reload,
    Long,
}

impl Part {
    /// All parts, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Worker,
        Self::Sharing,
        Self::ColdStart,
        Self::Size,
        Self::Native,
        Self::Failover,
        Self::Selection,
        Self::Services,
        Self::Reload,
        Self::Long,
    ];

    /// Parses the name of a part.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown part `{name}`, expected one of {names}")
        })
    }

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Sharing => "sharing",
            Self::ColdStart => "cold-start",
            Self::Size => "size",
            Self::Native => "native",
            Self::Failover => "failover",
            Self::Selection => "selection",
            Self::Services => "services",
            Self::Reload => "reload",
            Self::Long => "long",
        }
    }

    /// Returns what it measures, in one line.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Worker => "the Worker on workerd, beside a failover script and a minimal proxy in JavaScript",
            Self::Sharing => "the Worker with each mode of shared health",
            Self::ColdStart => "the first requests of a cold isolate of the Worker",
            Self::Size => "the size of the Worker, by section and by crate",
            Self::Native => "`serve` beside other proxies",
            Self::Failover => "requests while one of two servers fails, beside other proxies",
            Self::Selection => "a selection, beside pingora, tower and crates for consistent hashing",
            Self::Services => "`serve` with 1 to 6,000 services",
            Self::Reload => "`serve` while 1,000 services are reloaded",
            Self::Long => "memory and descriptors during an hour of faults and reloads, or `--minutes`",
        }
    }

    /// Returns whether it runs when no part is named. `long` takes an hour.
    pub(crate) fn is_default(self) -> bool {
        self != Self::Long
    }

    /// Returns its metrics.
    #[cfg(test)]
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Worker => worker::METRICS,
            Self::Sharing => sharing::METRICS,
            Self::ColdStart => cold_start::METRICS,
            Self::Size => size::METRICS,
            Self::Native => native::METRICS,
            Self::Failover => failover::METRICS,
            Self::Selection => selection::METRICS,
            Self::Services => services::METRICS,
            Self::Reload => reload::METRICS,
            Self::Long => long::METRICS,
        }
    }

    /// Runs it.
    pub(crate) async fn measure(self, options: &Options) -> Result<Sheet> {
        let mut sheet = Sheet::new(self.name(), self.about());
        let before = load_average();
        match self {
            Self::Worker => worker::measure(options, &mut sheet).await?,
            Self::Sharing => sharing::measure(options, &mut sheet).await?,
            Self::ColdStart => cold_start::measure(options, &mut sheet).await?,
            Self::Size => size::measure(&mut sheet)?,
            Self::Native => native::measure(options, &mut sheet).await?,
            Self::Failover => failover::measure(options, &mut sheet).await?,
            Self::Selection => selection::measure(options, &mut sheet)?,
            Self::Services => services::measure(options, &mut sheet).await?,
            Self::Reload => reload::measure(options, &mut sheet).await?,
            Self::Long => long::measure(options, &mut sheet).await?,
        }
        sheet.note(format!("load average of the machine: {before:.1} before, {:.1} after", load_average()));
        Ok(sheet)
    }
}

/// Returns the subjects in the order of a round: forward, then backward.
fn in_turns<T>(subjects: &mut [T], round: usize) -> Vec<&mut T> {
    let mut order: Vec<&mut T> = subjects.iter_mut().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}
