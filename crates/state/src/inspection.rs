//! What an operator requests for one request by its headers: a trace, or a drill.

use tunnel_balancer_core::headers::{DRILL_HEADER, HeaderFields, TRACE_HEADER};
use tunnel_balancer_core::{Drill, LocalReply, ServerId, Service, Trace};

use crate::control::Tokens;
use crate::drill::verify_drill;
use crate::trace::{server_timing, trace_header};

/// What the headers of one request request. Without a valid token or signature, nothing: the
/// request is served as any other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    is_traced: bool,
    drill: Option<Drill>,
}

impl Inspection {
    /// Reads the headers of a request to `service`. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn read<H: HeaderFields>(fields: &H, tokens: &Tokens, service: &Service, now: u64) -> Result<Self, H::Error> {
        let (trace, drill) = (fields.get(TRACE_HEADER)?, fields.get(DRILL_HEADER)?);
        let drill = drill.zip(tokens.control()).and_then(|(header, token)| {
            // The response shows whether the drill was applied.
            verify_drill(token, &header, service, now).ok()
        });
        Ok(Self { is_traced: trace.is_some_and(|token| tokens.allow_trace(&token)) || drill.is_some(), drill })
    }

    /// Returns whether the decisions about the request are recorded. Those of a drill always are.
    pub const fn is_traced(self) -> bool {
        self.is_traced
    }

    /// Returns the drill, if one is ordered.
    pub const fn drill(self) -> Option<Drill> {
        self.drill
    }

    /// Adds the headers to the response. `result` is the server that responded, or the reply of the
    /// balancer.
    ///
    /// # Errors
    /// Those of the fields.
    pub fn add_headers<H: HeaderFields>(
        self,
        fields: &mut H,
        trace: Option<&Trace>,
        service: &Service,
        result: Result<ServerId, LocalReply>,
    ) -> Result<(), H::Error> {
        if self.drill.is_some() {
            fields.set(DRILL_HEADER, "applied")?;
        }
        let Some(trace) = trace.filter(|_| self.is_traced) else { return Ok(()) };
        fields.append("server-timing", &server_timing(trace, service))?;
        fields.set(TRACE_HEADER, &trace_header(trace, service, result))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tunnel_balancer_core::{DrillKind, Server};

    use super::*;
    use crate::control::Token;
    use crate::sign_drill;

    const TOKEN: &str = "the token of the operator";
    const STATUS_TOKEN: &str = "the token of the status page";

    #[test]
    fn only_a_valid_token_or_order_has_an_effect() {
        let token = || Some(Token::new(TOKEN).unwrap());
        let service = Service::new("a.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        let order = sign_drill(&token().unwrap(), "a.test", "a", DrillKind::Hung, 2_000);
        let read = |tokens: &Tokens, lines: &[(&'static str, &str)]| {
            let fields: HeaderMap = lines.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
            let inspection = Inspection::read(&fields, tokens, &service, 1_000).unwrap();
            (inspection.is_traced(), inspection.drill().map(|drill| drill.kind))
        };
        let tokens = Tokens::new(token(), Token::new(STATUS_TOKEN).ok());
        assert_eq!(read(&tokens, &[]), (false, None));
        assert_eq!(read(&tokens, &[(TRACE_HEADER, TOKEN)]), (true, None));
        assert_eq!(read(&tokens, &[(TRACE_HEADER, STATUS_TOKEN)]), (true, None));
        assert_eq!(read(&tokens, &[(TRACE_HEADER, "another token of 16 bytes")]), (false, None));
        assert_eq!(read(&tokens, &[(TRACE_HEADER, "")]), (false, None));
        assert_eq!(read(&tokens, &[(DRILL_HEADER, &order)]), (true, Some(DrillKind::Hung)), "a drill is traced");
        let status = Token::new(STATUS_TOKEN).unwrap();
        let order_of_status = sign_drill(&status, "a.test", "a", DrillKind::Hung, 2_000);
        assert_eq!(read(&tokens, &[(DRILL_HEADER, &order_of_status)]), (false, None), "it changes nothing");
        assert_eq!(read(&tokens, &[(DRILL_HEADER, TOKEN)]), (false, None));
        let none = Tokens::default();
        assert_eq!(read(&none, &[(TRACE_HEADER, TOKEN), (DRILL_HEADER, &order)]), (false, None));
    }
}
