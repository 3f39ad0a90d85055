//! Requests to the servers of a pool, and to those of a copy for drills.

use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use tunnel_balancer_core::{
    self as core, Clock as _, Drill, DrillClient, DrillError, Forwarded, LogEntry, Pool, RequestId, RequestMeta,
};

use tunnel_balancer_tokio::host::SendError;

use crate::log;
use crate::proxy::Proxy;
use crate::upstream::LoggedRequest;

impl Proxy {
    /// Sends a request to the servers of its pool. That of a drill runs on a copy of the pool.
    /// Returns the pool that was used.
    pub(crate) async fn forward(
        &self,
        pool: Arc<Pool>,
        request: LoggedRequest,
        meta: RequestMeta,
        drill: Option<Drill>,
        id: &RequestId,
    ) -> (Arc<Pool>, Forwarded<Response<Incoming>, DrillError<SendError>>) {
        let servers = self.servers(&pool);
        let pool = drill.map_or(pool, |drill| {
            log::emit(&LogEntry::drill(drill, servers.pool().service(), id));
            Arc::new(servers.pool().for_drill(drill, self.clock.now()))
        });
        let client = DrillClient::new(&servers, &self.clock, &pool, drill);
        let forwarded = core::forward(&pool, &client, &self.clock, request, meta).await;
        self.transitions().emit(servers.pool());
        (pool, forwarded)
    }
}
