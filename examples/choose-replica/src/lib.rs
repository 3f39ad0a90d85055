//! Queries to a PostgreSQL primary and its replicas.
//!
//! Reads go to any server. A write is declined by a server that is read-only, and goes to the next
//! one: after a promotion, that is the new primary.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls, SimpleQueryMessage};
use tunnel_balancer_core::{Failure, RequestMeta, Server, UpstreamError};
use tunnel_balancer_tokio::{Dispatcher, Failed};

/// Why an attempt has no result.
enum AttemptError {
    NotConnected(Error),
    Declined,
    Lost(Error),
}

impl UpstreamError for AttemptError {
    fn failure(&self) -> Failure {
        match self {
            Self::NotConnected(_) => Failure::Connect,
            Self::Declined => Failure::Declined,
            Self::Lost(_) => Failure::ConnectionLost,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::NotConnected(error) | Self::Lost(error) => Some(error.to_string()),
            Self::Declined => None,
        }
    }
}

/// Runs a query. An error of the query itself is a result: every server would return it.
///
/// # Errors
/// If no server responded.
pub async fn query(
    servers: &Dispatcher,
    request: RequestMeta,
    config: &Config,
    sql: &str,
) -> Result<Result<Vec<SimpleQueryMessage>, Error>, Failed> {
    servers.call(request, |server| attempt(server, config.clone(), sql)).await
}

async fn attempt(
    server: Server,
    mut config: Config,
    sql: &str,
) -> Result<Result<Vec<SimpleQueryMessage>, Error>, AttemptError> {
    config.host(server.url.host()).port(server.url.port());
    let (client, connection) = config.connect(NoTls).await.map_err(AttemptError::NotConnected)?;
    tokio::spawn(connection);
    match client.simple_query(sql).await {
        Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Err(AttemptError::Declined),
        Err(error) if error.as_db_error().is_none() => Err(AttemptError::Lost(error)),
        result => Ok(result),
    }
}
