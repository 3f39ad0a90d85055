//! Badges: the state of one service as an image.

use crate::http::StatusResponse;
use crate::observation::Observation;
use crate::slug::slug;
use tunnel_balancer_core::ServiceState;

/// Returns the badge of the service whose title has this slug.
pub(crate) fn response(seen: &Observation<'_>, name: &str) -> StatusResponse {
    let mut services = seen.services.iter().map(|it| (it.service.title.as_str(), it.state()));
    match services.find(|(title, _)| slug(title) == name) {
        // An image that is loaded from another site.
        Some((title, state)) => StatusResponse::new(200, "image/svg+xml", svg(title, state))
            .with_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'"),
        None => StatusResponse::not_found(),
    }
}

fn svg(title: &str, state: ServiceState) -> String {
    let (word, color) = match state {
        ServiceState::Up => ("up", "#2a7a3b"),
        ServiceState::Degraded => ("degraded", "#8a6100"),
        ServiceState::Down => ("down", "#b3261e"),
        other => (other.as_str(), "#4a5568"),
    };
    let title = escaped(title);
    let (left, right) = (width(&title), width(word));
    let (total, middle) = (left + right, left + right / 2);
    let label = left / 2;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"20\" role=\"img\" \
         aria-label=\"{title}: {word}\"><title>{title}: {word}</title>\
         <rect width=\"{total}\" height=\"20\" rx=\"3\" fill=\"#3d4450\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" rx=\"3\" fill=\"{color}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{label}\" y=\"14\">{title}</text><text x=\"{middle}\" y=\"14\">{word}</text></g></svg>\n"
    )
}

/// Returns the width of a string with its margins, in pixels.
fn width(text: &str) -> usize {
    text.chars().count() * 7 + 12
}

/// Returns a string for XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges_are_labeled_images() {
        let svg = svg("A <b> & \"c\"", ServiceState::Down);
        assert!(svg.contains("aria-label=\"A &lt;b&gt; &amp; &quot;c&quot;: down\""), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
