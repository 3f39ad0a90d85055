//! The most similar of a list of words.

use strsim::damerau_levenshtein;

/// Returns the word of `known` that differs from `word` by a typing error.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    // At most a third of the characters may differ.
    let limit = |candidate: &str| (candidate.len() / 3).max(1);
    let is_close = |candidate: &&&str| word.len().abs_diff(candidate.len()) <= limit(candidate);
    let distances = known.iter().filter(is_close).map(|candidate| (damerau_levenshtein(&word, candidate), *candidate));
    let similar = distances.filter(|(distance, candidate)| *distance <= limit(candidate));
    similar.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognized_and_other_words_are_not() {
        let known = ["path", "interval", "unhealthy_interval", "timeout", "rise", "fall", "expect"];
        let table = [
            ("intervall", Some("interval")),
            ("Interval", Some("interval")),
            ("unhealthy-interval", Some("unhealthy_interval")),
            ("timeuot", Some("timeout")),
            ("raise", Some("rise")),
            ("pth", Some("path")),
            ("expected", Some("expect")),
            ("url", None),
            ("", None),
            ("grüße", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
