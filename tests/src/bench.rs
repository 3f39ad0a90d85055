//! Where a case does its work: servers, the target in front of them, and what is known when it
//! fails.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::client::Client;
use crate::log::Log;
use crate::proxy::{Process, Refusal};
use crate::server::FaultyServer;
use crate::target::{Running, Target};
use crate::yaml::Yaml;

/// The context of one case.
pub struct Bench {
    target: Target,
    logs: Arc<Mutex<Vec<Log>>>,
}

/// A target that runs, as its visitors see it. A [`Client`] with a log.
pub struct App {
    client: Client,
    log: Log,
    running: Running,
}

impl Bench {
    /// A bench for one case. Logs of all targets that the case starts are collected in `logs`.
    pub fn new(target: Target, logs: Arc<Mutex<Vec<Log>>>) -> Self {
        Self { target, logs }
    }

    /// The kind of target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Starts servers with these names.
    pub async fn servers<const N: usize>(&self, names: [&str; N]) -> [FaultyServer; N] {
        let mut servers = Vec::with_capacity(N);
        for name in names {
            servers.push(FaultyServer::start(name).await);
        }
        servers.try_into().unwrap_or_else(|_| unreachable!("one server for each name"))
    }

    /// Starts the target with a configuration.
    pub async fn start(&self, yaml: impl Into<Yaml>) -> App {
        let log = self.log();
        match self.target.start(&yaml.into().0, &log).await {
            Ok(running) => App { client: Client::new(running.addr), log, running },
            Err(error) => panic!("the target does not start: {error}"),
        }
    }

    /// Starts the Worker on a platform that refuses more subrequests than `limit`.
    pub async fn start_with_max_subrequests(&self, yaml: impl Into<Yaml>, limit: u32) -> App {
        let Target::Worker(worker) = &self.target else { panic!("a case for the Worker alone") };
        let target = Target::Worker(worker.clone().with_max_subrequests(limit));
        Self { target, logs: Arc::clone(&self.logs) }.start(yaml).await
    }

    /// Starts the native proxy with a configuration and these arguments alone, for cases that are
    /// about it.
    pub async fn serve(&self, yaml: impl Into<Yaml>, arguments: &[&str]) -> Process {
        self.try_serve(yaml, arguments).await.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// Starts the native proxy with a limit of open files.
    pub async fn serve_with_open_files(&self, yaml: impl Into<Yaml>, most: u32) -> Process {
        let Target::Native(proxy) = &self.target else { panic!("a case for the native proxy alone") };
        let started = proxy.with_open_files(most).start(&yaml.into().0, &[], &self.log(), None).await;
        started.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// The same, where it may refuse.
    pub async fn try_serve(&self, yaml: impl Into<Yaml>, arguments: &[&str]) -> Result<Process, Refusal> {
        let Target::Native(proxy) = &self.target else { panic!("a case for the native proxy alone") };
        proxy.start(&yaml.into().0, arguments, &self.log(), None).await
    }

    /// The same for one that knows servers by this certificate alone, a file.
    pub async fn serve_trusting(&self, yaml: impl Into<Yaml>, arguments: &[&str], certificate: &str) -> Process {
        let Target::Native(proxy) = &self.target else { panic!("a case for the native proxy alone") };
        let started = proxy.start(&yaml.into().0, arguments, &self.log(), Some(certificate)).await;
        started.unwrap_or_else(|rejection| panic!("{rejection}"))
    }

    /// What the operator is told about a configuration that cannot be used.
    pub async fn complaint(&self, yaml: &str) -> String {
        if matches!(self.target, Target::Native(_)) {
            return self.try_serve(yaml, &[]).await.err().expect("it does not start").errors;
        }
        let app = self.start(yaml).await;
        app.get("/").await;
        app.log().until("a complaint in the log", |log| log.contains("invalid configuration")).await
    }

    fn log(&self) -> Log {
        let log = Log::default();
        self.logs.lock().expect("no panic while locked").push(log.clone());
        log
    }
}

impl App {
    /// Its client, for use in another task.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid
    }

    /// What it has logged.
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
