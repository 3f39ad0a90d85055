//! Reads and removes single cookies of a `Cookie` header.

/// Returns the value of the first cookie with this name.
pub fn value_of<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| pair_value(pair, name))
}

/// Returns the header without the cookies of this name; `None` if none is left. The others keep
/// their form and order.
pub fn remove(header: &str, name: &str) -> Option<String> {
    let others: Vec<&str> = header.split(';').filter(|pair| pair_value(pair, name).is_none()).collect();
    let others = others.join(";");
    let others = others.trim();
    (!others.is_empty()).then(|| others.to_owned())
}

fn pair_value<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = pair.split_once('=')?;
    (key.trim() == name).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aff_08_a_cookie_is_read_and_removed() {
        let table = [
            ("lb=x", Some("x"), None),
            ("a=1; lb=x; b=2", Some("x"), Some("a=1; b=2")),
            ("lb=x; a=1", Some("x"), Some("a=1")),
            ("a=1;lb=x;lb=y;b=2", Some("x"), Some("a=1;b=2")),
            ("a=lb=x", None, Some("a=lb=x")),
            ("albatross=1", None, Some("albatross=1")),
            ("LB=x", None, Some("LB=x")),
            ("", None, None),
            ("; ;", None, Some("; ;")),
        ];
        for (header, value, rest) in table {
            assert_eq!(value_of(header, "lb"), value, "{header}");
            assert_eq!(remove(header, "lb").as_deref(), rest, "{header}");
        }
    }
}
