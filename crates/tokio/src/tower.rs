//! The client and the proxy as services of tower.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use crate::BoxError;
use crate::balancer::Balancer;
use crate::body::Body;
use crate::failed::Failed;
use crate::proxy::Proxy;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<B> Service<Request<B>> for Balancer
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Failed;
    type Future = BoxFuture<Result<Response<Body>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let balancer = self.clone();
        Box::pin(async move { balancer.send(request).await })
    }
}

/// The address of the client of a request, for the [service](Service) of a [`Proxy`]. It is an
/// extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

impl<B> Service<Request<B>> for Proxy
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let proxy = self.clone();
        let client = request.extensions().get().map(|ClientIp(ip)| *ip);
        Box::pin(async move { Ok(proxy.handle(request, client).await) })
    }
}
