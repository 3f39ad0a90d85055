//! State that outlives a process, apart from its storage.
//!
//! Isolates of a Worker lose their state, and each one observes servers by itself. What they share
//! is a *document*: the facts about servers, and what operators changed at run time. This crate
//! decides what a document holds, when it is written, and what a reader does with it. Hosts store
//! and transport it: a Durable Object, KV, a cache or a file.
//!
//! Nothing here does I/O or reads a clock. Times are milliseconds since 1970, because the document
//! passes between machines.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod control;
mod document;
mod drill;
mod history;
mod inspection;
pub mod json;
mod kv_budget;
mod monitor;
mod name_map;
mod names;
mod notify;
mod percent;
mod probe_run;
mod push;
mod read_budget;
mod reported;
mod sharing;
mod signature;
mod summary;
mod sync_schedule;
mod trace;

pub use document::{SharedControl, SharedState};
pub use drill::{MAX_DRILL_MS, sign_drill};
pub use history::{History, HistoryEntry, HistoryFilter};
pub use inspection::Inspection;
pub use kv_budget::KvBudget;
pub use monitor::MonitorRecord;
pub use name_map::NameMap;
pub use notify::{
    Delivery, DeliveryError, DeliveryOutcome, Notice, NoticeKind, Notifications, NotifyTarget, ServerCondition,
    ServerReading, ServiceReading, TargetKind,
};
pub use percent::percent_decoded;
pub use probe_run::{ProbeRun, RunBudget};
pub use push::{Inbox, MAX_PUSH_BYTES, PUSH_PATH, Push, PushError, SIGNATURE_HEADER, sign};
pub use read_budget::ReadBudget;
pub use sharing::HealthSharing;
pub use summary::{Summary, SummaryCollector};
pub use sync_schedule::{SyncKind, SyncSchedule};
