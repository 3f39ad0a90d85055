//! A view of the pools: what a request with access sees.

use tunnel_balancer_core::{Pool, Service, Services, Timestamp};

use crate::http::StatusResponse;
use crate::observation::{Observation, ServiceObservation};
use crate::{badge, metrics, public, report};

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub(crate) content: Content,
    pub(crate) is_head: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Report {
        /// The only service, with its details.
        service: Option<String>,
        /// Whether the request may change something.
        control: bool,
    },
    Public,
    Metrics {
        open_metrics: bool,
    },
    Badge {
        slug: String,
    },
}

impl View {
    /// Returns whether all readers see the same.
    pub const fn is_public(&self) -> bool {
        matches!(self.content, Content::Public | Content::Badge { .. })
    }

    /// Returns whether [`Observation::history`] is used.
    pub const fn needs_history(&self) -> bool {
        matches!(self.content, Content::Public | Content::Report { service: Some(_), .. })
    }

    /// Returns the only service whose history is used.
    pub fn service(&self) -> Option<&str> {
        match &self.content {
            Content::Report { service, .. } => service.as_deref(),
            _ => None,
        }
    }

    /// Observes the pools of the configured services, in their order.
    pub fn observe<'a>(
        &self,
        services: &'a Services,
        configured: &[Service],
        now: Timestamp,
    ) -> Vec<ServiceObservation<'a>> {
        let pool = |service: &Service| services.pool(&service.host, &service.path);
        let is_detailed = |pool: &Pool| self.service().is_some_and(|name| name == pool.service().name());
        configured.iter().filter_map(pool).map(|pool| ServiceObservation::of(pool, is_detailed(pool), now)).collect()
    }

    /// Returns the response.
    pub fn render(&self, seen: &Observation<'_>) -> StatusResponse {
        let response = match &self.content {
            Content::Report { service: Some(service), control } => report::details(seen, service, *control)
                .map_or_else(|| StatusResponse::text(404, "no such service"), StatusResponse::json),
            Content::Report { service: None, control } => StatusResponse::json(report::all(seen, *control)),
            Content::Public => StatusResponse::json(public::all(seen)),
            Content::Metrics { open_metrics } => metrics::response(seen, *open_metrics),
            Content::Badge { slug } => badge::response(seen, slug),
        };
        if self.is_head { response.without_body() } else { response }
    }
}
