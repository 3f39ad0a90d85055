//! The programs that a deployment starts. Signals reach the one that runs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs one program at a time, and passes SIGTERM and SIGINT on to it. If none runs, or if it is
/// the second signal, this process ends.
#[derive(Debug)]
pub(super) struct Programs(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: Option<Child>,
    /// Whether a program has received a signal.
    is_interrupted: bool,
}

/// The time between two checks whether the program has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The time that a program has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

impl Programs {
    /// Starts to receive signals.
    ///
    /// # Errors
    /// If this process cannot receive signals.
    pub(super) fn new() -> io::Result<Self> {
        let state = Arc::default();
        signals::listen(&state)?;
        Ok(Self(state))
    }

    /// Runs a program with the input and the outputs of this process.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        self.start(command)?;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
        }
    }

    /// Runs a program without input, and returns its outputs. `None`: it was stopped after `limit`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn capture(&self, command: &mut Command, limit: Duration) -> io::Result<Option<Output>> {
        // Files, as a program that outlives the command would keep a pipe open.
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        command.stdin(std::process::Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        self.start(command)?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(Output { status, stdout: content(&mut stdout)?, stderr: content(&mut stderr)? }));
            }
            if Instant::now() > deadline {
                self.stop()?;
                return Ok(None);
            }
        }
    }

    /// Returns whether a signal has stopped a program.
    pub(super) fn is_interrupted(&self) -> bool {
        locked(&self.0).is_interrupted
    }

    fn start(&self, command: &mut Command) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.running = Some(command.spawn()?);
        Ok(())
    }

    /// Waits for a moment. Returns the status, if the program has ended.
    fn ended(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = locked(&self.0);
        let Some(program) = &mut state.running else { return Err(io::ErrorKind::NotFound.into()) };
        let status = program.try_wait()?;
        if status.is_some() {
            state.running = None;
        } else {
            drop(state);
            thread::sleep(POLL_INTERVAL);
        }
        Ok(status)
    }

    /// Ends the program, which can end those that it has started. It is killed after [`GRACE`].
    fn stop(&self) -> io::Result<ExitStatus> {
        if let Some(program) = &mut locked(&self.0).running {
            signals::terminate(program)?;
        }
        let deadline = Instant::now() + GRACE;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > deadline
                && let Some(program) = &mut locked(&self.0).running
            {
                program.kill()?;
            }
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(unix)]
mod signals {
    use std::io::{self, IsTerminal as _, stderr, stdin, stdout};
    use std::process::Child;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::signal::unix::{SignalKind, signal};

    use super::{State, locked};

    /// Starts to receive signals, in a thread.
    pub(super) fn listen(state: &Arc<Mutex<State>>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(entered);
        let state = Arc::clone(state);
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => receive(&state, Signal::TERM),
                        _ = interrupt.recv() => receive(&state, Signal::INT),
                    }
                }
            });
        });
        Ok(())
    }

    pub(super) fn terminate(program: &Child) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(program), Signal::TERM)?)
    }

    fn receive(state: &Mutex<State>, signal: Signal) {
        let mut state = locked(state);
        let is_second = std::mem::replace(&mut state.is_interrupted, true);
        match &mut state.running {
            Some(program) if !is_second => {
                // A terminal sends it to both.
                if signal != Signal::INT || !is_on_terminal() {
                    // The program may have ended.
                    let _ = kill_process(Pid::from_child(program), signal);
                }
            }
            running => {
                if let Some(program) = running {
                    let _ = program.kill();
                }
                std::process::exit(128 + signal.as_raw());
            }
        }
    }

    fn is_on_terminal() -> bool {
        stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal()
    }
}

/// Ctrl-C ends all processes of a console.
#[cfg(not(unix))]
mod signals {
    use std::io;
    use std::process::Child;
    use std::sync::{Arc, Mutex};

    use super::State;

    pub(super) fn listen(_: &Arc<Mutex<State>>) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn terminate(program: &mut Child) -> io::Result<()> {
        program.kill()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn outputs_and_codes_are_those_of_the_program() {
        let programs = Programs::new().unwrap();
        let output = programs.capture(&mut shell("cat; echo out; echo error >&2; exit 3"), LIMIT);
        let output = output.unwrap().unwrap();
        assert_eq!(
            (output.status.code(), &output.stdout[..], &output.stderr[..]),
            (Some(3), &b"out\n"[..], &b"error\n"[..])
        );
        assert_eq!(programs.run(&mut shell("exit 4")).unwrap().code(), Some(4));
        assert!(programs.run(&mut Command::new("no/program")).is_err());
        assert!(!programs.is_interrupted());
    }

    /// Stops a program that has this trap for SIGTERM.
    fn stopped(trap: &str) -> ExitStatus {
        let directory = tempfile::tempdir().unwrap();
        let programs = Programs::new().unwrap();
        let mut program = shell(&format!("trap '{trap}' TERM; touch ready; while :; do sleep 0.01; done"));
        programs.start(program.current_dir(&directory)).unwrap();
        while !directory.path().join("ready").exists() {
            assert_eq!(programs.ended().unwrap(), None);
        }
        programs.stop().unwrap()
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        assert_eq!(stopped("").signal(), Some(9));
    }

    #[test]
    fn a_program_can_end_by_itself() {
        assert_eq!(stopped("exit 7").code(), Some(7));
    }
}
