//! The balancer's own answers, in the form a client asks for: a page for people, JSON for programs, a line of text for the rest.
//!
//! A browser that gets a line of text looks broken, and a program that gets a page has to guess. So `Accept` decides. Every
//! answer carries the id under which the host's log knows the request, because it says nothing else about what happened.

use std::cmp::Reverse;
use std::fmt;

use http::StatusCode;

use crate::local_reply::LocalReply;
use crate::proxy::headers;
use crate::service::Service;

/// An answer of our own, for the host to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// What one request is called in the log and in an answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    const LONGEST: usize = 64;

    /// An id that somebody else gave the request, as Cloudflare's edge does in `CF-Ray`: letters, digits, `-` and `_`. `None`
    /// for anything else, which would have no business in a page or a log.
    pub fn given(text: &str) -> Option<Self> {
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let fits = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_fit);
        fits.then(|| Self(text.to_owned()))
    }

    /// An id from a random number.
    pub fn random(number: u64) -> Self {
        Self(format!("{number:016x}"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a local reply to one request depends on: its `Accept` header and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    accept: Option<String>,
    id: RequestId,
}

impl ReplyContext {
    /// The context of a request with this `Accept` header.
    pub const fn new(accept: Option<String>, id: RequestId) -> Self {
        Self { accept, id }
    }

    /// Returns the id of the request.
    pub const fn id(&self) -> &RequestId {
        &self.id
    }

    /// Returns the response with which the host replies; `service` is the request's, if it is known.
    pub fn respond(&self, reply: LocalReply, service: Option<&Service>) -> LocalResponse {
        let page = service.and_then(|service| service.error_page.as_deref());
        reply.response(self.accept.as_deref(), &self.id, page)
    }
}

impl LocalReply {
    /// The answer to a request whose `Accept` header is `accept`.
    ///
    /// `page` is the operator's own, from [`Service::error_page`](crate::Service::error_page): HTML in which `{{status}}`, `{{reason}}`,
    /// `{{message}}` and `{{request_id}}` are filled in.
    fn response(self, accept: Option<&str>, id: &RequestId, page: Option<&str>) -> LocalResponse {
        let status = self.status();
        let (content_type, body) = match Form::wanted(accept) {
            Form::Text => ("text/plain; charset=utf-8", format!("{status}: {}\n", self.message())),
            Form::Json => ("application/json", self.json(id)),
            Form::Html => ("text/html; charset=utf-8", self.html(id, page.unwrap_or(PAGE))),
        };
        let mut headers = vec![
            ("content-type", content_type.to_owned()),
            ("cache-control", "no-store".to_owned()),
            (headers::SERVED_BY, headers::SERVED_BY_BALANCER.to_owned()),
            (headers::REQUEST_ID, id.to_string()),
        ];
        headers.extend(self.retry_after().map(|seconds| ("retry-after", seconds.to_string())));
        LocalResponse { status, headers, body }
    }

    /// Nothing in it needs escaping: our own words, and an id without quotes.
    fn json(self, id: &RequestId) -> String {
        let (status, code, message) = (self.status().as_u16(), self.code(), self.message());
        format!(r#"{{"status":{status},"error":"{code}","message":"{message}","request_id":"{id}"}}"#) + "\n"
    }

    fn html(self, id: &RequestId, page: &str) -> String {
        let status = self.status();
        page.replace("{{status}}", status.as_str())
            .replace("{{reason}}", status.canonical_reason().unwrap_or_default())
            .replace("{{message}}", self.message())
            .replace("{{request_id}}", &id.to_string())
    }
}

const PAGE: &str = include_str!("local_response.html");

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Html,
}

impl Form {
    /// The first of these is what a client without preferences gets.
    const ALL: [(Self, &str, &str); 3] =
        [(Self::Text, "text", "plain"), (Self::Json, "application", "json"), (Self::Html, "text", "html")];

    /// What `Accept` (RFC 9110, section 12.5.1) prefers: by weight, then what is named before what a wildcard covers, then in the
    /// order of the header.
    fn wanted(accept: Option<&str>) -> Self {
        let ranges: Vec<Range<'_>> = accept.unwrap_or_default().split(',').filter_map(Range::read).collect();
        let rank = |kind: &str, subtype: &str| {
            let matching = ranges.iter().enumerate().filter(|(_, range)| range.covers(kind, subtype));
            // The most exact range that covers a type decides about it.
            matching
                .max_by_key(|(place, range)| (range.exactness(), Reverse(*place)))
                .map(|(place, range)| (range.weight, range.exactness(), Reverse(place)))
        };
        let acceptable = Self::ALL.into_iter().rev().filter_map(|(form, kind, subtype)| {
            rank(kind, subtype).filter(|(weight, ..)| *weight > 0).map(|rank| (rank, form))
        });
        // The last of equals wins, which is the first of `ALL`.
        acceptable.max_by_key(|(rank, _)| *rank).map_or(Self::Text, |(_, form)| form)
    }
}

/// One item of `Accept`: `text/*;q=0.8`.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    weight: u32,
}

impl<'a> Range<'a> {
    fn read(item: &'a str) -> Option<Self> {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let (kind, subtype) = name.trim().split_once('/')?;
        let weight = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
        });
        Some(Self { kind, subtype, weight: weight.unwrap_or(1000) })
    }

    fn covers(&self, kind: &str, subtype: &str) -> bool {
        let fits = |own: &str, other: &str| own == "*" || own.eq_ignore_ascii_case(other);
        fits(self.kind, kind) && fits(self.subtype, subtype)
    }

    fn exactness(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subtype != "*")
    }
}

/// `0.8` as 800. What is no weight is none.
fn thousandths(text: &str) -> u32 {
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
            assert_eq!(Form::wanted(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn every_form_says_the_same() {
        let id = RequestId::random(0xabc);
        let reply = LocalReply::unavailable(std::time::Duration::from_secs(7));
        let text = reply.response(None, &id, None);
        assert_eq!(text.body, "503 Service Unavailable: No server answered. Please try again in a moment.\n");
        assert!(text.headers.contains(&("retry-after", "7".to_owned())));
        assert!(text.headers.contains(&("x-request-id", "0000000000000abc".to_owned())));
        let json = reply.response(Some("application/json"), &id, None).body;
        assert_eq!(
            json,
            "{\"status\":503,\"error\":\"unavailable\",\"message\":\"No server answered. Please try again in a moment.\",\
             \"request_id\":\"0000000000000abc\"}\n"
        );
        let html = reply.response(Some("text/html"), &id, None).body;
        for part in ["<title>503 Service Unavailable</title>", "No server answered.", "0000000000000abc"] {
            assert!(html.contains(part), "{part} is missing: {html}");
        }
        assert!(!html.contains("{{"), "{html}");
    }

    #[test]
    fn an_operators_page_is_filled_in() {
        let page = "<h1>{{status}} {{reason}}</h1>{{message}}<i>{{request_id}}</i>{{other}}";
        let html = LocalReply::Loop.response(Some("text/html"), &RequestId::random(1), Some(page)).body;
        assert_eq!(
            html,
            "<h1>508 Loop Detected</h1>This request has already passed a balancer.<i>0000000000000001</i>{{other}}"
        );
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert_eq!(RequestId::given("8f0e1d-FRA_1").unwrap().to_string(), "8f0e1d-FRA_1");
        for text in ["", "a b", "<script>", "a\"b", "\u{fc}", &"a".repeat(65)] {
            assert_eq!(RequestId::given(text), None, "{text}");
        }
    }
}
