//! Renders local replies as an HTML page, JSON or plain text, whichever the client accepts.
//!
//! A line of text is hard to read in a browser, and programs cannot parse a page, so `Accept`
//! decides. Every response carries the id of the request in the host's log, since it reveals
//! nothing else about the cause.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::local_reply::LocalReply;
use crate::proxy::headers;
use crate::service::Service;

/// A rendered local reply, for the host to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// The id of a request: in logs, in requests to servers and in responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    const MAX_LEN: usize = 64;

    /// Accepts the id that an earlier proxy assigned, such as Cloudflare's `CF-Ray`: 1 to 64
    /// letters, digits, `-` and `_`. `None` for anything else, which could be harmful in a page or
    /// a log.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_id = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(is_valid);
        is_id.then(|| Self(text.into()))
    }

    /// Creates an id from a random number.
    pub fn random(number: u64) -> Self {
        Self(format!("{number:016x}").into())
    }

    /// Returns the id as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a local reply to one request depends on: its `Accept` header, its id, and the hosts that an
/// unknown one is similar to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    accept: Option<String>,
    id: RequestId,
    similar_hosts: Vec<String>,
}

impl ReplyContext {
    /// Creates the context of a request with this `Accept` header.
    pub const fn new(accept: Option<String>, id: RequestId) -> Self {
        Self { accept, id, similar_hosts: Vec::new() }
    }

    /// Sets the hosts that a reply to an unknown host names, from
    /// [`Services::similar_hosts`](crate::Services::similar_hosts).
    #[must_use]
    pub fn with_similar_hosts(self, similar_hosts: Vec<String>) -> Self {
        Self { similar_hosts, ..self }
    }

    /// Returns the hosts that a reply to an unknown host names.
    pub fn similar_hosts(&self) -> &[String] {
        &self.similar_hosts
    }

    /// Returns the id of the request.
    pub const fn id(&self) -> &RequestId {
        &self.id
    }

    /// Renders a local reply. `service` is the service of the request, if it is known. In its
    /// [`Service::error_page`], `{{status}}`, `{{reason}}`, `{{message}}` and `{{request_id}}` are
    /// replaced. With [`Service::fallback`], the client is redirected if no server responded.
    pub fn respond(&self, reply: LocalReply, service: Option<&Service>) -> LocalResponse {
        let response = self.error(reply, service);
        let fallback = service.and_then(|service| service.fallback.as_deref());
        match fallback.filter(|_| matches!(reply, LocalReply::Unavailable { .. })) {
            Some(url) => response.redirected(reply, url),
            None => response,
        }
    }

    fn error(&self, reply: LocalReply, service: Option<&Service>) -> LocalResponse {
        let (content_type, body) = match Form::negotiate(self.accept.as_deref()) {
            Form::Text => (TEXT, text(reply, &self.message(reply))),
            Form::Json => ("application/json", self.json(reply)),
            Form::Html => {
                let page = service.and_then(|service| service.error_page.as_deref());
                ("text/html; charset=utf-8", self.html(reply, page.unwrap_or(PAGE)))
            }
        };
        let mut response = LocalResponse::new(reply, content_type, body);
        response.headers.push((headers::REQUEST_ID, self.id.to_string()));
        response
    }

    fn message(&self, reply: LocalReply) -> String {
        let message = reply.message();
        match (reply, self.similar_hosts.as_slice()) {
            (LocalReply::UnknownHost, [_, ..]) => {
                format!("{message} Similar addresses: {}.", self.similar_hosts.join(", "))
            }
            _ => message.to_owned(),
        }
    }

    /// Nothing needs escaping: the messages and hosts are the operator's, and ids contain no
    /// quotes.
    fn json(&self, reply: LocalReply) -> String {
        let (status, code, message, id) = (reply.status().as_u16(), reply.code(), self.message(reply), &self.id);
        format!(r#"{{"status":{status},"error":"{code}","message":"{message}","request_id":"{id}"}}"#) + "\n"
    }

    fn html(&self, reply: LocalReply, page: &str) -> String {
        let (status, reason) = reply.status_line();
        page.replace("{{status}}", &status.to_string())
            .replace("{{reason}}", reason)
            .replace("{{message}}", &self.message(reply))
            .replace("{{request_id}}", &self.id.to_string())
    }
}

fn text(reply: LocalReply, message: &str) -> String {
    let (status, reason) = reply.status_line();
    format!("{status} {reason}: {message}\n")
}

impl LocalResponse {
    /// Creates the response to a request without an id.
    fn new(reply: LocalReply, content_type: &'static str, body: String) -> Self {
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("cache-control", "no-store".to_owned()),
            (headers::SERVED_BY, headers::SERVED_BY_BALANCER.to_owned()),
        ];
        headers.extend(reply.retry_after().map(|seconds| ("retry-after", seconds.to_string())));
        headers.extend(reply.allow().map(|methods| ("allow", methods.to_owned())));
        Self { status: reply.status(), headers, body }
    }

    /// Replaces the error of `reply` by a redirect to `url`.
    fn redirected(mut self, reply: LocalReply, url: &str) -> Self {
        self.headers.retain(|(name, _)| !matches!(*name, "content-type" | "retry-after"));
        self.headers.push(("content-type", TEXT.to_owned()));
        self.headers.push(("location", url.to_owned()));
        Self { status: StatusCode::FOUND, body: format!("{} See {url}\n", reply.message()), ..self }
    }
}

impl From<LocalReply> for LocalResponse {
    /// Renders a local reply as plain text, for a client of which nothing is known. See
    /// [`ReplyContext::respond`].
    fn from(reply: LocalReply) -> Self {
        Self::new(reply, TEXT, text(reply, reply.message()))
    }
}

impl<B: From<String>> From<LocalResponse> for http::Response<B> {
    fn from(response: LocalResponse) -> Self {
        let LocalResponse { status, headers, body } = response;
        let mut response = Self::new(body.into());
        *response.status_mut() = status;
        for (name, value) in headers {
            // The URL of a fallback may have characters that no header has.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

impl<B: From<String>> From<LocalReply> for http::Response<B> {
    fn from(reply: LocalReply) -> Self {
        LocalResponse::from(reply).into()
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

const PAGE: &str = include_str!("local_response.html");

/// The content types of a local reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Html,
}

impl Form {
    /// The first is the default.
    const ALL: [(Self, &str, &str); 3] =
        [(Self::Text, "text", "plain"), (Self::Json, "application", "json"), (Self::Html, "text", "html")];

    /// Returns the form that `Accept` (RFC 9110, section 12.5.1) prefers: by weight, then by
    /// specificity, then in the order of the header.
    fn negotiate(accept: Option<&str>) -> Self {
        let ranges: Vec<Range<'_>> = accept.unwrap_or_default().split(',').filter_map(Range::parse).collect();
        let rank = |kind: &str, subtype: &str| {
            let matching = ranges.iter().enumerate().filter(|(_, range)| range.matches(kind, subtype));
            // The most specific range that matches a type decides.
            matching
                .max_by_key(|(place, range)| (range.specificity(), Reverse(*place)))
                .map(|(place, range)| (range.weight, range.specificity(), Reverse(place)))
        };
        let acceptable = Self::ALL.into_iter().rev().filter_map(|(form, kind, subtype)| {
            rank(kind, subtype).filter(|(weight, ..)| *weight > 0).map(|rank| (rank, form))
        });
        // `max_by_key` returns the last of equal items, which is the first of `ALL`.
        acceptable.max_by_key(|(rank, _)| *rank).map_or(Self::Text, |(_, form)| form)
    }
}

/// One media range of `Accept`, such as `text/*;q=0.8`.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// The weight in thousandths.
    weight: u32,
}

impl<'a> Range<'a> {
    fn parse(item: &'a str) -> Option<Self> {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let (kind, subtype) = name.trim().split_once('/')?;
        let weight = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| parse_qvalue(value.trim()))
        });
        Some(Self { kind, subtype, weight: weight.unwrap_or(1000) })
    }

    fn matches(&self, kind: &str, subtype: &str) -> bool {
        let matches = |own: &str, other: &str| own == "*" || own.eq_ignore_ascii_case(other);
        matches(self.kind, kind) && matches(self.subtype, subtype)
    }

    fn specificity(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// Returns a weight in thousandths: `0.8` is 800. An invalid weight counts as 0.
fn parse_qvalue(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.is_empty() || fraction.len() > 3 {
        return 0;
    }
    let fraction = format!("{fraction:0<3}").parse().unwrap_or(0);
    (whole.parse::<u32>().unwrap_or(1).min(1) * 1000 + fraction).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Server;

    #[test]
    fn accept_decides_the_form() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        let table = [
            (None, Form::Text),
            (Some(""), Form::Text),
            (Some("*/*"), Form::Text),
            (Some(browser), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("application/json, text/plain, */*"), Form::Json),
            (Some("text/plain, application/json"), Form::Text),
            (Some("Application/JSON;charset=utf-8"), Form::Json),
            (Some("application/*"), Form::Json),
            (Some("text/*"), Form::Text),
            (Some("text/*;q=0.5, application/json;q=0.6"), Form::Json),
            (Some("text/html;q=0, */*"), Form::Text),
            (Some("text/plain;q=0, */*"), Form::Json),
            (Some("text/html; q=0.1, application/json; q=0.05"), Form::Html),
            (Some("image/png"), Form::Text),
            (Some("*/*;q=junk"), Form::Text),
            (Some("text/html;q=-1, application/json;q=0.001"), Form::Json),
            (Some("\u{fc}/;=;q,,,/"), Form::Text),
        ];
        for (accept, expected) in table {
            assert_eq!(Form::negotiate(accept), expected, "{accept:?}");
        }
    }

    fn respond(reply: LocalReply, accept: &str, service: Option<&Service>) -> LocalResponse {
        ReplyContext::new(Some(accept.to_owned()), RequestId::random(0xabc)).respond(reply, service)
    }

    #[test]
    fn local_replies_become_responses() {
        let response: http::Response<String> = LocalReply::unavailable(std::time::Duration::from_secs(7)).into();
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"7".parse().unwrap())
        );
        assert_eq!(response.body(), "503 Service Unavailable: No server responded. Please try again in a moment.\n");
        let rendered = respond(LocalReply::MethodNotAllowed, "application/json", None);
        let response: http::Response<Vec<u8>> = rendered.clone().into();
        assert_eq!(response.headers()["x-request-id"], "0000000000000abc");
        assert!(response.headers()["allow"].to_str().unwrap().starts_with("GET, "));
        assert_eq!(response.body(), rendered.body.as_bytes());
    }

    #[test]
    fn all_forms_have_the_same_content() {
        let reply = LocalReply::unavailable(std::time::Duration::from_secs(7));
        let text = respond(reply, "", None);
        assert_eq!(text.body, "503 Service Unavailable: No server responded. Please try again in a moment.\n");
        assert!(text.headers.contains(&("retry-after", "7".to_owned())));
        assert!(text.headers.contains(&("x-request-id", "0000000000000abc".to_owned())));
        let json = respond(reply, "application/json", None).body;
        assert_eq!(
            json,
            "{\"status\":503,\"error\":\"unavailable\",\
             \"message\":\"No server responded. Please try again in a moment.\",\
             \"request_id\":\"0000000000000abc\"}\n"
        );
        let html = respond(reply, "text/html", None).body;
        for part in ["<title>503 Service Unavailable</title>", "No server responded.", "0000000000000abc"] {
            assert!(html.contains(part), "{part} is missing: {html}");
        }
        assert!(!html.contains("{{"), "{html}");
    }

    #[test]
    fn placeholders_of_the_operators_page_are_replaced() {
        let mut service = Service::new("app.test", vec![Server::new("a.example".parse().unwrap())]).unwrap();
        service.error_page = Some("<h1>{{status}} {{reason}}</h1>{{message}}<i>{{request_id}}</i>{{other}}".into());
        assert_eq!(
            respond(LocalReply::Loop, "text/html", Some(&service)).body,
            "<h1>508 Loop Detected</h1>This request has already passed through a load balancer.\
             <i>0000000000000abc</i>{{other}}"
        );
    }

    #[test]
    fn reason_phrases_are_those_of_the_statuses() {
        let replies = [
            LocalReply::UnknownHost,
            LocalReply::Overloaded,
            LocalReply::TimedOut,
            LocalReply::InvalidResponse,
            LocalReply::MethodNotAllowed,
            LocalReply::Loop,
            LocalReply::BadRequest,
            LocalReply::Misconfigured,
        ];
        for reply in replies {
            let (status, reason) = reply.status_line();
            assert_eq!(format!("{status} {reason}"), reply.status().to_string());
        }
    }

    #[test]
    fn only_valid_ids_are_accepted() {
        assert_eq!(RequestId::parse("8f0e1d-FRA_1").unwrap().to_string(), "8f0e1d-FRA_1");
        for id in ["", "a b", "<script>", "a\"b", "\u{fc}", &"a".repeat(65)] {
            assert_eq!(RequestId::parse(id), None, "{id}");
        }
    }
}
