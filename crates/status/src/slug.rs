//! Titles as parts of URLs.

/// Returns a title in lower case, with `-` for everything else than letters and digits:
/// `My Chat!` is `my-chat`.
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_alphanumeric() {
            slug.extend(c.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_have_letters_digits_and_single_hyphens() {
        let table =
            [("Chat", "chat"), ("  My Chat! (new)", "my-chat-new"), ("chat/api", "chat-api"), ("Größe", "größe")];
        for (title, expected) in table.into_iter().chain([("", ""), ("--", "")]) {
            assert_eq!(slug(title), expected);
        }
    }
}
