//! HTTP/2 with TLS, by h2load of nghttp2.

use std::path::Path;
use std::process::{Command, Stdio};

use tunnel_balancer_tests::client::HOST;

use crate::Result;

/// Sends requests on 8 connections of 4 streams. Returns the responses per second. Fails if one is
/// not 2xx.
pub(crate) async fn h2load(program: &Path, port: u16, requests: usize) -> Result<f64> {
    let mut command = Command::new(program);
    command.args(["-c", "8", "-m", "4", "-n", &requests.to_string()]);
    command.arg(format!("--connect-to=127.0.0.1:{port}")).arg(format!("https://{HOST}/"));
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.map_err(|error| error.to_string())?.map_err(|error| format!("cannot start h2load: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse(&text, requests).ok_or_else(|| format!("h2load failed:\n{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Returns the rate of an output in which all requests have succeeded.
fn parse(text: &str, requests: usize) -> Option<f64> {
    let finished = text.lines().find(|line| line.starts_with("finished in "))?;
    let rate = finished.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()?;
    text.contains(&format!("status codes: {requests} 2xx")).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_that_of_a_run_without_failures() {
        let text = "starting benchmark...\nfinished in 1.02s, 3921.57 req/s, 500.00KB/s\n\
                    status codes: 4000 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        assert_eq!(parse(text, 4000), Some(3921.57));
        assert_eq!(parse(text, 4001), None);
    }
}
