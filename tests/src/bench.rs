//! The context of a case: servers, the target in front of them, and their logs.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::client::Client;
use crate::log::Log;
use crate::proxy::{Process, StartError};
use crate::server::FaultyServer;
use crate::target::{Running, Target};
use crate::yaml::Yaml;

/// The context of one case.
pub struct Bench {
    target: Target,
    logs: Arc<Mutex<Vec<Log>>>,
}

/// A running target: a [`Client`] of it, and its log.
pub struct App {
    client: Client,
    log: Log,
    running: Running,
}

impl Bench {
    /// Creates the context of one case. `logs` collects the logs of all targets that it starts.
    pub fn new(target: Target, logs: Arc<Mutex<Vec<Log>>>) -> Self {
        Self { target, logs }
    }

    /// Returns the kind of target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Starts servers with these names.
    pub async fn servers<const N: usize>(&self, names: [&str; N]) -> [FaultyServer; N] {
        FaultyServer::start_all(names).await
    }

    /// Starts the target with a configuration.
    pub async fn start(&self, yaml: impl Into<Yaml>) -> App {
        let log = self.log();
        match self.target.start(&yaml.into().0, &log).await {
            Ok(running) => App { client: Client::new(running.addr), log, running },
            Err(error) => panic!("the target does not start: {error}"),
        }
    }

    /// Starts the target with a configuration and the token of operators.
    pub async fn start_with_control_token(&self, yaml: impl Into<Yaml>) -> App {
        let target = self.target.clone().with_control_token();
        Self { target, logs: Arc::clone(&self.logs) }.start(yaml).await
    }

    /// Starts the Worker with its configuration in the module `services.yaml`.
    pub async fn start_with_module(&self, yaml: impl Into<Yaml>) -> App {
        let Target::Worker(worker) = &self.target else { panic!("this case is only for the Worker") };
        Self { target: Target::Worker(worker.clone().with_module()), logs: Arc::clone(&self.logs) }.start(yaml).await
    }

    /// Starts the Worker on a platform that rejects more subrequests than `limit`.
    pub async fn start_with_max_subrequests(&self, yaml: impl Into<Yaml>, limit: u32) -> App {
        let Target::Worker(worker) = &self.target else { panic!("this case is only for the Worker") };
        let target = Target::Worker(worker.clone().with_max_subrequests(limit));
        Self { target, logs: Arc::clone(&self.logs) }.start(yaml).await
    }

    /// Starts the native proxy with a configuration and no other arguments than these.
    pub async fn serve(&self, yaml: impl Into<Yaml>, arguments: &[&str]) -> Process {
        self.try_serve(yaml, arguments).await.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// Starts the native proxy with a limit of open files.
    pub async fn serve_with_open_files(&self, yaml: impl Into<Yaml>, limit: u32, arguments: &[&str]) -> Process {
        let Target::Native(proxy) = &self.target else { panic!("this case is only for the native proxy") };
        let started = proxy.with_open_files(limit).start(&yaml.into().0, arguments, &self.log()).await;
        started.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// Starts the native proxy with environment variables.
    pub async fn serve_with_env(
        &self,
        yaml: impl Into<Yaml>,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let Target::Native(proxy) = &self.target else { panic!("this case is only for the native proxy") };
        let started = proxy.with_env(variables).start(&yaml.into().0, arguments, &self.log()).await;
        started.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// Starts the native proxy, or returns why it did not start.
    pub async fn try_serve(&self, yaml: impl Into<Yaml>, arguments: &[&str]) -> Result<Process, StartError> {
        let Target::Native(proxy) = &self.target else { panic!("this case is only for the native proxy") };
        proxy.start(&yaml.into().0, arguments, &self.log()).await
    }

    /// Starts the native proxy with the root certificates of a file.
    pub async fn serve_with_roots(&self, yaml: impl Into<Yaml>, arguments: &[&str], certificate: &str) -> Process {
        self.serve_with_env(yaml, arguments, &[("SSL_CERT_FILE", certificate)]).await
    }

    /// Returns the error that the operator gets for an invalid configuration.
    pub async fn configuration_error(&self, yaml: &str) -> String {
        if matches!(self.target, Target::Native(_)) {
            return self.try_serve(yaml, &[]).await.err().expect("it does not start").errors;
        }
        let app = self.start(yaml).await;
        app.get("/").await;
        app.log().until("an error in the log", |log| log.contains("config_rejected")).await
    }

    fn log(&self) -> Log {
        let log = Log::default();
        self.logs.lock().expect("no panic while locked").push(log.clone());
        log
    }
}

impl App {
    /// Returns the client, for use in another task.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.running.pid
    }

    /// Returns its log.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Deref for App {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
