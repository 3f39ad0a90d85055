//! Runs the built Worker on workerd with a configuration, for tests that are not written in Rust.
//!
//! ```text
//! cargo run -p tunnel-balancer-tests --bin worker -- services.yaml --port 8787
//! ```
//!
//! Prints `listening on 127.0.0.1:8787`, then the log of the Worker. Ends by SIGTERM, and with its
//! standard input, so that it does not outlive its parent.

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

use tokio::signal::unix::{SignalKind, signal};
use tunnel_balancer_tests::Gate;
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::workerd::BuiltWorker;

const USAGE: &str = "usage: worker FILE --port N";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let (file, port) = arguments(env::args().skip(1)).ok_or(USAGE)?;
    let yaml = fs::read_to_string(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let log = Log::default();
    let (addr, process) = BuiltWorker::find()?.start(&yaml, port, &log).await?;
    println!("listening on {addr}");

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = end_of_input() => Ok(()),
        _ = terminate.recv() => Ok(()),
        () = log.print() => Ok(()),
        () = process.exited() => Err("workerd has exited; its last output is above".into()),
    }
}

/// Reads on a thread of its own: that of tokio would delay the end of the runtime.
async fn end_of_input() {
    let end = Gate::closed();
    let reader = end.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        reader.open();
    });
    end.passed().await;
}

fn arguments(mut arguments: impl Iterator<Item = String>) -> Option<(String, u16)> {
    let (file, option, port) = (arguments.next()?, arguments.next()?, arguments.next()?);
    let port = port.parse().ok()?;
    (option == "--port" && arguments.next().is_none()).then_some((file, port))
}
