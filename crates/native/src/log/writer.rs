//! Batched output that costs requests neither a system call nor a wake-up.
//!
//! Lines are appended to a buffer in memory. While lines arrive, a thread writes the buffer every
//! [`LogWriter::INTERVAL`]. It sleeps without a timer only after a second without lines, so that a
//! single line wakes it at most once a second. If the output is slower than the lines, lines are
//! dropped and counted, and the count is written as soon as possible.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tunnel_balancer_core::LogEvent;

use super::{Line, LogFormat};

/// A handle to a log. Clones write to the same output.
#[derive(Clone, Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    format: LogFormat,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes [`LogWriter::flush`].
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines that were dropped since the last write.
    lost: u64,
    /// Whether the thread waits without a timer.
    asleep: bool,
    /// Whether a batch is being written.
    writing: bool,
    /// Whether [`LogWriter::flush`] waits.
    flush: bool,
}

impl LogWriter {
    /// The time between two writes.
    const INTERVAL: Duration = Duration::from_millis(20);

    /// The number of intervals without a line after which the thread sleeps without a timer.
    const IDLE_INTERVALS: u32 = 50;

    /// The maximum number of bytes in memory: some seconds of a busy proxy.
    const CAPACITY: usize = 4 * 1024 * 1024;

    /// The maximum time of [`flush`](Self::flush): the reader of the output may have stopped.
    pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

    /// Creates a log that writes to `output` on its own thread.
    pub fn new(output: impl Write + Send + 'static, format: LogFormat) -> Self {
        let shared = Arc::<Shared>::default();
        let thread = Arc::clone(&shared);
        std::thread::spawn(move || write_batches(&thread, output, format));
        Self { shared, format }
    }

    /// Returns the format of its lines.
    pub(crate) const fn format(&self) -> LogFormat {
        self.format
    }

    /// Appends a line.
    pub(crate) fn line(&self, line: &str) {
        let mut state = self.shared.lock();
        if state.buffer.len() + line.len() >= Self::CAPACITY {
            state.lost += 1;
            return;
        }
        state.buffer.extend_from_slice(line.as_bytes());
        state.buffer.push(b'\n');
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// Waits until all lines are written, at most two seconds. Blocks the thread.
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        (state.flush, state.asleep) = (true, false);
        self.shared.wake.notify_one();
        let is_pending = |state: &mut State| state.writing || !state.buffer.is_empty() || state.lost > 0;
        let wait = self.shared.written.wait_timeout_while(state, Self::FLUSH_TIMEOUT, is_pending);
        drop(wait);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes batches until the process ends. Errors of the output cannot be reported.
fn write_batches(shared: &Shared, mut output: impl Write, format: LogFormat) {
    let (mut batch, mut idle) = (Vec::new(), 0);
    loop {
        let mut state = shared.lock();
        if state.buffer.is_empty() && state.lost == 0 {
            idle += 1;
        } else {
            idle = 0;
        }
        if idle > LogWriter::IDLE_INTERVALS {
            state.asleep = true;
            state = shared.wake.wait_while(state, |state| state.asleep).unwrap_or_else(PoisonError::into_inner);
            idle = 0;
        }
        let sleep = shared.wake.wait_timeout_while(state, LogWriter::INTERVAL, |state| !state.flush);
        state = sleep.unwrap_or_else(PoisonError::into_inner).0;
        state.flush = false;
        std::mem::swap(&mut batch, &mut state.buffer);
        let lost = std::mem::take(&mut state.lost);
        state.writing = true;
        drop(state);
        if lost > 0 {
            let mut line = Line::new(format, "warn", LogEvent::LinesLost.as_str());
            line.number("lines", lost);
            batch.extend_from_slice(line.finish().as_bytes());
            batch.push(b'\n');
        }
        if !batch.is_empty() {
            let _ = output.write_all(&batch).and_then(|()| output.flush());
            batch.clear();
        }
        shared.lock().writing = false;
        shared.written.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Counts writes and keeps what was written.
    #[derive(Clone, Default)]
    struct Output(Arc<(AtomicUsize, Mutex<Vec<u8>>)>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.0.fetch_add(1, Ordering::Relaxed);
            self.0.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that writes only when the test lets it.
    struct Gated(Receiver<()>, Output);

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn many_lines_are_written_at_once_and_in_order() {
        let output = Output::default();
        let writer = LogWriter::new(output.clone(), LogFormat::Json);
        for number in 0..10_000 {
            writer.line(&number.to_string());
        }
        writer.flush();
        let expected: String = (0..10_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(output.0.1.lock().unwrap().clone()).unwrap(), expected);
        let writes = output.0.0.load(Ordering::Relaxed);
        assert!(writes < 1_000, "{writes} writes of 10,000 lines");
    }

    #[test]
    fn lines_beyond_the_capacity_are_counted() {
        let (open, gate): (Sender<()>, _) = channel();
        let output = Output::default();
        let writer = LogWriter::new(Gated(gate, output.clone()), LogFormat::Json);
        let line = "x".repeat(LogWriter::CAPACITY / 8);
        for _ in 0..100 {
            writer.line(&line);
        }
        drop(open);
        writer.flush();
        let text = String::from_utf8(output.0.1.lock().unwrap().clone()).unwrap();
        let written = text.lines().filter(|text| **text == line).count();
        let lost: u64 = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["lines"].as_u64())
            .sum();
        assert!(lost > 0 && written as u64 + lost == 100, "{written} written, {lost} lost");
    }
}
