//! One JSON object a line: what happened, for people with `jq` and for programs.
//!
//! Requests do not wait for the log. Lines go through a bounded queue to a thread that writes them;
//! when whoever reads the output is slower than that, lines are left out and counted, and the count
//! is written as soon as there is room.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use serde_json::{Value, json};
use tunnel_balancer_core::Pool;

/// Where lines go. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Log {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    /// Everything before this has been written when the sender is dropped.
    Flush(SyncSender<()>),
}

impl Log {
    /// Lines that wait at most. A few seconds' worth on a busy machine.
    const WAITING: usize = 8192;

    /// A log that writes to `output`, on a thread of its own.
    pub fn to(output: impl Write + Send + 'static) -> Self {
        let (queue, entries) = sync_channel(Self::WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::spawn(move || write(&entries, output, &counted));
        Self { queue, lost }
    }

    /// Adds a line.
    pub fn line(&self, line: &impl Serialize) {
        // Only maps with other keys than texts cannot be serialised, and there are none.
        let Ok(line) = serde_json::to_string(line) else { return };
        let line = escape_controls(line);
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds what happened, with the fields of `details`, an object.
    pub(crate) fn event(&self, event: &str, details: Value) {
        let mut line = json!({ "event": event });
        if let (Value::Object(line), Value::Object(details)) = (&mut line, details) {
            line.extend(details);
        }
        self.line(&line);
    }

    /// Adds the changes in a pool since the last call.
    pub(crate) fn changes(&self, pool: &Pool) {
        for event in pool.update(|state| state.drain_events()) {
            let server = pool.service().server(event.server).map_or("", |server| server.name.as_str());
            self.event(&event.change.to_string(), json!({ "service": pool.service().name(), "server": server }));
        }
    }

    /// Waits until everything so far is written. Blocks: for the end of a program.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(0);
        if self.queue.send(Entry::Flush(done)).is_ok() {
            // It is dropped, never sent.
            let _ = wait.recv();
        }
    }
}

/// JSON escapes the control characters of ASCII alone; some terminals obey those beyond it as well.
fn escape_controls(line: String) -> String {
    if !line.contains(char::is_control) {
        return line;
    }
    let escaped = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    line.chars().map(escaped).collect()
}

/// Writes until the last log is dropped. Nobody can be told that writing failed.
fn write(entries: &Receiver<Entry>, mut output: impl Write, lost: &AtomicU64) {
    while let Ok(first) = entries.recv() {
        let mut text = String::new();
        let mut waiting = Vec::new();
        for entry in std::iter::once(first).chain(entries.try_iter().take(Log::WAITING)) {
            match entry {
                Entry::Line(line) => text = text + &line + "\n",
                Entry::Flush(done) => waiting.push(done),
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            text = text + &json!({ "event": "log lines lost", "lines": lost }).to_string() + "\n";
        }
        let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    }
}
