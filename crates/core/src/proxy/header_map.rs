//! The header fields of hosts that have them as a map of the crate `http`.

use http::header::{self, Entry, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};

use super::headers::{DRILL_HEADER, HeaderFields, LOOP_HEADER, REQUEST_ID, SERVED_BY, TRACE_HEADER};

impl HeaderFields for http::HeaderMap {
    type Error = InvalidHeaderValue;

    fn get(&self, name: &str) -> Result<Option<String>, Self::Error> {
        let joined = |before: String, value: &HeaderValue| [&before, ", ", &to_string(value)].concat();
        let Ok(name) = header_name(name) else { return Ok(None) };
        let mut values = self.get_all(name).iter();
        Ok(values.next().map(|first| values.fold(to_string(first), joined)))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Self::Error> {
        let value = from_str(value)?;
        if let Ok(name) = header_name(name) {
            self.insert(name, value);
        }
        Ok(())
    }

    fn append(&mut self, name: &str, value: &str) -> Result<(), Self::Error> {
        let value = from_str(value)?;
        if let Ok(name) = header_name(name) {
            self.append(name, value);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), Self::Error> {
        self.remove(name);
        Ok(())
    }

    fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), Self::Error> {
        let removed: Vec<HeaderName> = self.keys().filter(|name| is_removed(name.as_str())).cloned().collect();
        removed.into_iter().for_each(|name| drop(self.remove(name)));
        Ok(())
    }

    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Self::Error> {
        let Ok(name) = header_name(name) else { return Ok(()) };
        // An entry would reserve memory.
        if !self.contains_key(&name) {
            return Ok(());
        }
        let Entry::Occupied(mut lines) = self.entry(name) else { return Ok(()) };
        for line in lines.iter_mut() {
            if let Some(new) = new(&to_string(line)) {
                *line = from_str(&new)?;
            }
        }
        Ok(())
    }
}

/// Returns a name. Those that are part of every message are neither parsed nor allocated.
fn header_name(name: &str) -> Result<HeaderName, InvalidHeaderName> {
    Ok(match name {
        "connection" => header::CONNECTION,
        "content-length" => header::CONTENT_LENGTH,
        "content-location" => header::CONTENT_LOCATION,
        "destination" => const { HeaderName::from_static("destination") },
        "host" => header::HOST,
        "idempotency-key" => const { HeaderName::from_static("idempotency-key") },
        "if" => const { HeaderName::from_static("if") },
        "link" => header::LINK,
        "location" => header::LOCATION,
        "refresh" => header::REFRESH,
        "set-cookie" => header::SET_COOKIE,
        "transfer-encoding" => header::TRANSFER_ENCODING,
        "x-forwarded-for" => const { HeaderName::from_static("x-forwarded-for") },
        "x-forwarded-host" => const { HeaderName::from_static("x-forwarded-host") },
        "x-forwarded-proto" => const { HeaderName::from_static("x-forwarded-proto") },
        "x-real-ip" => const { HeaderName::from_static("x-real-ip") },
        DRILL_HEADER => const { HeaderName::from_static(DRILL_HEADER) },
        LOOP_HEADER => const { HeaderName::from_static(LOOP_HEADER) },
        REQUEST_ID => const { HeaderName::from_static(REQUEST_ID) },
        SERVED_BY => const { HeaderName::from_static(SERVED_BY) },
        TRACE_HEADER => const { HeaderName::from_static(TRACE_HEADER) },
        _ => return name.parse(),
    })
}

fn to_string(value: &HeaderValue) -> String {
    let decoded = || value.as_bytes().iter().copied().map(char::from).collect();
    value.to_str().map_or_else(|_| decoded(), str::to_owned)
}

/// Returns the value whose bytes these characters are. One that is no byte is invalid, as a control
/// character is.
fn from_str(value: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    if value.is_ascii() {
        return HeaderValue::from_str(value);
    }
    let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).unwrap_or(0)).collect();
    HeaderValue::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn values_in_any_encoding_are_kept() {
        let mut fields = HeaderMap::new();
        fields.insert("cookie", HeaderValue::from_bytes(b"a=\xfc\xc3\xa4; b").unwrap());
        let value = HeaderFields::get(&fields, "cookie").unwrap().unwrap();
        assert_eq!(value, "a=\u{fc}\u{c3}\u{a4}; b");
        HeaderFields::set(&mut fields, "x-copy", &value).unwrap();
        assert_eq!(fields["x-copy"], fields["cookie"]);
        for invalid in ["\u{100}", "\n"] {
            assert!(HeaderFields::set(&mut fields, "x-copy", invalid).is_err());
        }
    }

    #[test]
    fn each_line_is_rewritten_separately() {
        let mut cookies = HeaderMap::new();
        for cookie in ["a=1", "b=2", "a=3"] {
            cookies.append("set-cookie", HeaderValue::from_static(cookie));
        }
        let new = |value: &str| value.strip_prefix("a=").map(|rest| format!("c={rest}"));
        cookies.rewrite("set-cookie", new).unwrap();
        assert_eq!(cookies.get_all("set-cookie").iter().collect::<Vec<_>>(), ["c=1", "b=2", "c=3"]);
    }
}
