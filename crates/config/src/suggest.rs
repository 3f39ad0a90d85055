//! Which known word was probably meant.

/// The word of `known` that `word` is a slip of the keyboard away from.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    // A third of the letters wrong is still the same word; more is another one.
    let slips = |candidate: &str| (candidate.len() / 3).max(1);
    known
        .iter()
        .filter(|candidate| word.len().abs_diff(candidate.len()) <= slips(candidate))
        .map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(distance, candidate)| *distance <= slips(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, replaced or swapped with their neighbour to turn `a`
/// into `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = at(&last, j) + usize::from(from != to);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                least = least.min(at(&before_last, j - 1) + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
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
        for (word, meant) in table {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn distances() {
        let table = [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("same", "same", 0)];
        for (a, b, expected) in table {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        }
    }
}
