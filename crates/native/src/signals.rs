//! The signals of the operating system. Windows has only those that end a process.

#[cfg(windows)]
pub(crate) use windows::{Shutdown, Signal};

#[cfg(unix)]
pub(crate) use unix::{Shutdown, Signal};

#[cfg(unix)]
mod unix {
    use tokio::signal::unix::{self, SignalKind};

    use crate::serve::StartError;

    /// A signal that does not end the process.
    pub(crate) struct Signal(unix::Signal);

    impl Signal {
        /// SIGHUP: reloads files.
        pub(crate) fn reload() -> Result<Self, StartError> {
            catch(SignalKind::hangup()).map(Self)
        }

        /// SIGUSR1: releases the traffic that `failback: manual` holds back.
        pub(crate) fn failback() -> Result<Self, StartError> {
            catch(SignalKind::user_defined1()).map(Self)
        }

        /// Waits for the next signal.
        pub(crate) async fn received(&mut self) {
            if self.0.recv().await.is_none() {
                std::future::pending().await
            }
        }
    }

    /// The signals that request a shutdown: SIGTERM and SIGINT.
    pub(crate) struct Shutdown {
        terminate: unix::Signal,
        interrupt: unix::Signal,
    }

    impl Shutdown {
        pub(crate) fn new() -> Result<Self, StartError> {
            Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
        }

        /// Waits for the next of them.
        pub(crate) async fn requested(&mut self) {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }

    fn catch(kind: SignalKind) -> Result<unix::Signal, StartError> {
        unix::signal(kind).map_err(|error| StartError::Os("cannot catch signals", error))
    }
}

#[cfg(windows)]
mod windows {
    use std::future::{Pending, pending};

    use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

    use crate::serve::StartError;

    /// A signal that Windows does not have: it is never received.
    pub(crate) struct Signal(Pending<()>);

    impl Signal {
        /// Files are reloaded when they change.
        pub(crate) fn reload() -> Result<Self, StartError> {
            Ok(Self(pending()))
        }

        /// `ctl failback` releases the traffic that `failback: manual` holds back.
        pub(crate) fn failback() -> Result<Self, StartError> {
            Ok(Self(pending()))
        }

        /// Never returns.
        pub(crate) async fn received(&mut self) {
            (&mut self.0).await;
        }
    }

    /// The events that request a shutdown: Ctrl-C, Ctrl-Break, the closed window of the console,
    /// and the shutdown of the system.
    pub(crate) struct Shutdown {
        interrupt: CtrlC,
        terminate: CtrlBreak,
        close: CtrlClose,
        shutdown: CtrlShutdown,
    }

    impl Shutdown {
        pub(crate) fn new() -> Result<Self, StartError> {
            let failed = |error| StartError::Os("cannot catch signals", error);
            Ok(Self {
                interrupt: ctrl_c().map_err(failed)?,
                terminate: ctrl_break().map_err(failed)?,
                close: ctrl_close().map_err(failed)?,
                shutdown: ctrl_shutdown().map_err(failed)?,
            })
        }

        /// Waits for the next of them.
        pub(crate) async fn requested(&mut self) {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = self.close.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }
}
