//! Signed orders for drills: the header `X-Balancer-Drill`.
//!
//! An operator's machine signs it with the control token. It names the server and what is assumed
//! about it, and it expires. The service is part of the signature but not of the header, so an
//! order for another service is invalid.

use tunnel_balancer_core::{Drill, DrillKind, ServerId, Service};

use crate::control::Token;
use crate::signature;

/// The longest validity of an order, in milliseconds: 10 minutes.
pub const MAX_DRILL_MS: u64 = 10 * 60 * 1000;

/// The purpose of the signatures.
const PURPOSE: &str = "drill";

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrillOrderError {
    /// The signature is missing, or was made with another token or for another service.
    InvalidSignature,
    /// The order has expired, or expires later than in 10 minutes.
    WrongTime,
    /// The service has no such server.
    UnknownServer,
}

/// Returns the value of the header: `KIND,SERVER,t=EXPIRY,v1=SIGNATURE`. `service` is the name of
/// the service, and `expires_at` is in milliseconds since 1970.
pub fn sign_drill(token: &Token, service: &str, server: &str, kind: DrillKind, expires_at: u64) -> String {
    let signature = signature::sign(token.key(), PURPOSE, expires_at, &body(service, server, kind.as_str()));
    format!("{},{server},t={expires_at},v1={signature}", kind.as_str())
}

/// Returns the drill that a header orders for a request to `service`. `now` is in milliseconds
/// since 1970.
///
/// # Errors
/// If the order is refused.
pub(crate) fn verify_drill(token: &Token, header: &str, service: &Service, now: u64) -> Result<Drill, DrillOrderError> {
    let mut parts = header.splitn(3, ',');
    let (Some(kind), Some(server), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(DrillOrderError::InvalidSignature);
    };
    let (expires_at, given) = signature::parse(rest).ok_or(DrillOrderError::InvalidSignature)?;
    if !signature::is_valid(token.key(), PURPOSE, expires_at, &body(&service.name(), server, kind), given) {
        return Err(DrillOrderError::InvalidSignature);
    }
    if expires_at <= now || expires_at - now > MAX_DRILL_MS {
        return Err(DrillOrderError::WrongTime);
    }
    let kind = DrillKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = kind.ok_or(DrillOrderError::InvalidSignature)?;
    let index = service.servers().iter().position(|known| known.name == server);
    let server = index.and_then(ServerId::new).ok_or(DrillOrderError::UnknownServer)?;
    Ok(Drill { server, kind })
}

fn body(service: &str, server: &str, kind: &str) -> Vec<u8> {
    format!("{kind}\0{service}\0{server}").into_bytes()
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_core::Server;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn service(host: &str) -> Service {
        let servers = ["chat-a.example", "chat-b.example"].map(|url| Server::new(url.parse().unwrap()));
        Service::new(host, servers.to_vec()).unwrap()
    }

    #[test]
    fn every_kind_is_accepted_until_it_expires() {
        let (token, service) = (token("the token of the operator"), service("chat.example/api"));
        for kind in DrillKind::ALL {
            let header = sign_drill(&token, "chat.example/api", "chat-b", kind, NOW + 60_000);
            let drill = Drill { server: ServerId::new(1).unwrap(), kind };
            let verify = |now| verify_drill(&token, &header, &service, now);
            assert_eq!(verify(NOW), Ok(drill));
            assert_eq!(verify(NOW + 59_999), Ok(drill));
            assert_eq!(verify(NOW + 60_000), Err(DrillOrderError::WrongTime));
            assert_eq!(verify(NOW + 60_000 - MAX_DRILL_MS - 1), Err(DrillOrderError::WrongTime), "too far ahead");
        }
    }

    #[test]
    fn forged_orders_and_those_for_others_are_refused() {
        let (token, other) = (token("the token of the operator"), token("the token of another"));
        let service = service("chat.example");
        let header = sign_drill(&token, "chat.example", "chat-a", DrillKind::Down, NOW + 1000);
        let refused = |token: &Token, header: &str| verify_drill(token, header, &service, NOW).unwrap_err();
        let foreign = sign_drill(&token, "wiki.example", "chat-a", DrillKind::Down, NOW + 1000);
        let forged = [
            foreign,
            header.replace("down", "hung"),
            header.replace("chat-a", "chat-b"),
            header.replace("t=1", "t=2"),
            header.replace("v1=", "v1=0"),
            header.split_once(",v1=").unwrap().0.to_owned(),
            String::new(),
            ",,,".to_owned(),
            "down,chat-a,t=1790000001000,v1=".to_owned(),
        ];
        for header in forged {
            assert_eq!(refused(&token, &header), DrillOrderError::InvalidSignature, "{header}");
        }
        assert_eq!(refused(&other, &header), DrillOrderError::InvalidSignature);
        let unknown = sign_drill(&token, "chat.example", "chat-c", DrillKind::Down, NOW + 1000);
        assert_eq!(refused(&token, &unknown), DrillOrderError::UnknownServer);
    }
}
