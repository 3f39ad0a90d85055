//! A client of reqwest that fails over between servers.

use std::error::Error;

use reqwest::redirect;
use tunnel_balancer_core::{Policy, Pool, Service};
use tunnel_balancer_tokio::ReqwestBalancer;

/// Returns a client whose requests go to these servers in turn.
///
/// # Errors
/// If an address is invalid.
pub fn client(servers: impl IntoIterator<Item = String>) -> Result<ReqwestBalancer, Box<dyn Error>> {
    let service = Service::of("rooms", servers)?.configure(|service| service.policy = Policy::RoundRobin)?;
    let client = reqwest::Client::builder().redirect(redirect::Policy::none()).build()?;
    Ok(ReqwestBalancer::new(client, Pool::new(service, 1))?)
}

/// Returns the body of a page.
///
/// # Errors
/// If no server responded.
pub async fn get(client: &ReqwestBalancer, path: &str) -> Result<String, Box<dyn Error>> {
    let response = client.execute(client.get(path)?.build()?).await?;
    Ok(response.error_for_status()?.text().await?)
}
