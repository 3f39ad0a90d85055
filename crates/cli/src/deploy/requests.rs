//! Requests through the public hostnames after a deployment.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{HOST, HeaderMap, LOCATION};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout_at};
use tunnel_balancer_core::Service;
use tunnel_balancer_core::headers::{CONFIG_HEADER, REQUEST_ID, SERVED_BY, SERVED_BY_BALANCER};
use tunnel_balancer_native::ApiResponse;

use crate::client_request::{ServiceRequest, service_request};
use crate::progress;
use crate::send::send;
use crate::table::table;

/// The result for a public hostname.
#[derive(Debug)]
pub(super) struct Row {
    service: String,
    status: Option<u16>,
    served_by: Option<String>,
    /// Why the response is not that of a server through the new Worker.
    fault: Option<String>,
}

/// Requests at the same time.
const CONCURRENCY: usize = 32;

/// The time between two requests to a hostname.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The longest time for a response.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a request to each service until a server responds, for at most `duration`. All of them go
/// to the balancer at `to`, if it is set.
///
/// # Errors
/// If requests cannot be sent.
pub(super) fn request_all(services: &[&Service], to: Option<&str>, duration: Duration) -> Result<Vec<Row>, String> {
    let requests = services.iter().map(|service| service_request(&service.name(), "probe", "/", to));
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("error: cannot start: {error}"))?;
    Ok(runtime.block_on(async {
        let deadline = Instant::now() + duration;
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        let mut rows: Vec<Option<Row>> = services.iter().map(|_| None).collect();
        let mut tasks = JoinSet::new();
        for (index, (service, request)) in services.iter().zip(requests).enumerate() {
            let (service, permits) = ((*service).clone(), Arc::clone(&permits));
            tasks.spawn(async move { (index, until_served(&service, &request, &permits, deadline).await) });
        }
        let mut tick = interval(RETRY_INTERVAL);
        loop {
            tokio::select! {
                biased;
                result = tasks.join_next() => match result {
                    None => break,
                    Some(Ok((index, row))) => rows[index] = Some(row),
                    Some(Err(_)) => {}
                },
                _ = tick.tick() => progress::show(&format!(
                    "waiting for the public hostnames: {} of {} respond, {} s left",
                    services.len() - tasks.len(),
                    services.len(),
                    deadline.saturating_duration_since(Instant::now()).as_secs()
                )),
            }
        }
        progress::end();
        rows.into_iter().flatten().collect()
    }))
}

async fn until_served(service: &Service, request: &ServiceRequest, permits: &Semaphore, deadline: Instant) -> Row {
    loop {
        let row = {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let response = timeout_at(deadline.max(Instant::now() + RETRY_INTERVAL), get(request)).await;
            match response.unwrap_or_else(|_| Err("no response".to_owned())) {
                Ok(response) => Row::of(service, &response),
                Err(error) => Row { service: service.name(), status: None, served_by: None, fault: Some(error) },
            }
        };
        if row.fault.is_none() || Instant::now() + RETRY_INTERVAL > deadline {
            return row;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

async fn get(request: &ServiceRequest) -> Result<ApiResponse, String> {
    let mut sent = Request::builder().uri(&request.url).body(Vec::new()).map_err(|error| error.to_string())?;
    sent.headers_mut().extend(request.host.clone().map(|host| (HOST, host)));
    send(sent, TIMEOUT).await
}

impl Row {
    fn of(service: &Service, response: &ApiResponse) -> Self {
        let served_by = text(&response.headers, SERVED_BY);
        let fault = fault(service, &response.headers, served_by.as_deref());
        Self { service: service.name(), status: Some(response.status.as_u16()), served_by, fault }
    }

    pub(super) const fn has_passed(&self) -> bool {
        self.fault.is_none()
    }
}

/// Returns why a response is not that of a server through the new Worker.
fn fault(service: &Service, headers: &HeaderMap, served_by: Option<&str>) -> Option<String> {
    let is_server = |name: &str| service.servers().iter().any(|server| server.name == name);
    match served_by {
        _ if headers.contains_key(CONFIG_HEADER) => {
            Some("the Worker rejects the variable SERVICES_YAML: see its log".to_owned())
        }
        Some(SERVED_BY_BALANCER) if service.maintenance => None,
        Some(SERVED_BY_BALANCER) => Some("the Worker responds, but no server".to_owned()),
        Some(name) if is_server(name) => None,
        Some(_) => Some("a server that the map does not have: an older map".to_owned()),
        None if !service.served_by_header && headers.contains_key(REQUEST_ID) => None,
        None => Some(match text(headers, LOCATION) {
            Some(location) => format!("not from the Worker: a redirect to {location}"),
            None => "not from the Worker".to_owned(),
        }),
    }
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.chars().take(200).collect())
}

/// Returns the results as a table.
pub(super) fn report(rows: &[Row]) -> String {
    let mut lines = vec![["SERVICE", "STATUS", "SERVED BY", "RESULT"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.service.clone(),
            row.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            row.served_by.clone().unwrap_or_else(|| "-".to_owned()),
            row.fault.as_ref().map_or_else(|| "ok".to_owned(), |fault| format!("failed: {fault}")),
        ]
    }));
    table(&lines, &[1])
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use tunnel_balancer_config::parse;

    use super::*;

    #[test]
    fn only_servers_of_the_map_pass() {
        let service = |settings: &str| {
            let yaml = format!("services: {{ a.example.com: {{ servers: [a-1.example.com] {settings} }} }}");
            parse(&yaml).unwrap().services.remove(0)
        };
        let (plain, hidden) = (service(""), service(", served_by_header: false"));
        let maintenance = service(", maintenance: true");
        let older = "a server that the map does not have: an older map";
        let redirect = "not from the Worker: a redirect to https://login.example";
        let rejected = "the Worker rejects the variable SERVICES_YAML: see its log";
        let unavailable = "the Worker responds, but no server";
        let table = [
            (&plain, "x-served-by", "a-1", None),
            (&plain, "x-served-by", "b-1", Some(older)),
            (&plain, "x-served-by", "tunnel-balancer", Some(unavailable)),
            (&maintenance, "x-served-by", "tunnel-balancer", None),
            (&plain, "x-request-id", "1", Some("not from the Worker")),
            (&plain, "location", "https://login.example", Some(redirect)),
            (&hidden, "x-request-id", "1", None),
            (&hidden, "server", "nginx", Some("not from the Worker")),
            (&plain, CONFIG_HEADER, "fallback", Some(rejected)),
        ];
        for (service, name, value, expected) in table {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            let served_by = text(&headers, SERVED_BY);
            assert_eq!(fault(service, &headers, served_by.as_deref()).as_deref(), expected, "{headers:?}");
        }
    }
}
