//! The paths of rules: regular expressions, of which a match anywhere in a path counts.

use std::collections::BTreeSet;
use std::error::Error;

use regex_automata::dfa::{Automaton, dense, dense::DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start, syntax};
use regex_automata::{Anchored, Input};

use super::go_pattern;

/// How many paths match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// No path.
    None,
    /// Some paths, or a number that is not known.
    Part,
    /// Every path.
    All,
}

/// The pattern of a rule.
#[derive(Debug)]
pub(super) enum PathPattern {
    /// Every path matches.
    Any,
    Automaton(Box<DFA<Vec<u32>>>),
    /// The pattern is valid, but its automaton is too large.
    Unknown,
    Invalid(String),
}

/// A limit far above that of useful patterns, in bytes.
const MAX_SIZE: usize = 4 << 20;

impl PathPattern {
    pub(super) fn new(pattern: Option<&str>) -> Self {
        let Some(pattern) = pattern else { return Self::Any };
        let invalid =
            |reason: String| Self::Invalid(format!("the path {pattern:?} is not a regular expression: {reason}"));
        let pattern = match go_pattern::translate(pattern) {
            Ok(pattern) => pattern,
            Err(reason) => return invalid(reason),
        };
        match build(&pattern) {
            Ok(automaton) => Self::Automaton(Box::new(automaton)),
            Err(error) if error.is_size_limit_exceeded() => Self::Unknown,
            Err(error) => {
                let cause = root_cause(&error);
                invalid(cause.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
            }
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        match self {
            Self::Invalid(reason) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// Returns whether a path matches.
    pub(super) fn is_match(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Automaton(automaton) => {
                automaton.try_search_fwd(&Input::new(path)).is_ok_and(|found| found.is_some())
            }
            Self::Unknown | Self::Invalid(_) => false,
        }
    }

    /// Returns how many of the paths `prefix` and `prefix/...` match.
    pub(super) fn coverage(&self, prefix: &str) -> Coverage {
        match self {
            Self::Any => Coverage::All,
            Self::Automaton(automaton) => coverage(automaton, prefix).unwrap_or(Coverage::Part),
            Self::Unknown | Self::Invalid(_) => Coverage::Part,
        }
    }
}

/// Returns the message of the innermost source of an error.
fn root_cause(mut error: &dyn Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[expect(clippy::result_large_err, reason = "the error of the library, handled by the only caller")]
fn build(pattern: &str) -> Result<DFA<Vec<u32>>, dense::BuildError> {
    dense::Builder::new()
        .configure(dense::Config::new().dfa_size_limit(Some(MAX_SIZE)).determinize_size_limit(Some(MAX_SIZE)))
        .thompson(thompson::Config::new().utf8(false))
        .syntax(syntax::Config::new().utf8(false))
        .build(pattern)
}

/// Visits every state that a path can lead to. A state that is reached by a match is left out: all
/// longer paths match, too.
fn coverage(automaton: &DFA<Vec<u32>>, prefix: &str) -> Option<Coverage> {
    let (mut some, mut all) = (false, true);
    let mut end = |automaton: &DFA<Vec<u32>>, state: StateID| {
        let is_match = automaton.is_match_state(automaton.next_eoi_state(state));
        some |= is_match;
        all &= is_match;
    };
    let start = automaton.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
    let mut state = start;
    for byte in prefix.bytes() {
        state = automaton.next_state(state, byte);
        if automaton.is_match_state(state) {
            return Some(Coverage::All);
        }
    }
    if !prefix.is_empty() {
        end(automaton, state);
    }
    let mut to_visit = vec![automaton.next_state(state, b'/')];
    let mut visited = BTreeSet::new();
    let mut is_matched = false;
    while let Some(state) = to_visit.pop() {
        if !visited.insert(state) {
            continue;
        }
        if automaton.is_match_state(state) {
            is_matched = true;
            continue;
        }
        end(automaton, state);
        // The characters of paths. Line breaks in paths are ignored.
        to_visit.extend((b' '..=b'~').map(|byte| automaton.next_state(state, byte)));
    }
    Some(match (some || is_matched, all) {
        (false, _) => Coverage::None,
        (true, true) => Coverage::All,
        (true, false) => Coverage::Part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_exact() {
        use Coverage::{All, None, Part};
        let table = [
            ("/", "", All),
            (".*", "", All),
            ("^/", "", All),
            ("^/.*$", "", All),
            ("(?s)^/.*$", "", All),
            ("^/[^x]*", "", All),
            ("x*", "", All),
            ("^(/.*)?$", "", All),
            ("/|x", "", All),
            ("", "", All),
            ("^$", "", None),
            ("^x", "", None),
            ("//", "", Part),
            ("^/api", "", Part),
            ("\\.(jpg|png)$", "", Part),
            ("^/api", "/api", All),
            ("^/api/", "/api", Part),
            ("^/api(/|$)", "/api", All),
            ("^/api", "/api/v2", All),
            ("^/api", "/v2", None),
            ("/api", "/v2", Part),
            ("\\bapi\\b", "/api", All),
            ("^/\\pL", "", Part),
        ];
        for (pattern, prefix, expected) in table {
            assert_eq!(PathPattern::new(Some(pattern)).coverage(prefix), expected, "{pattern} {prefix}");
        }
        assert_eq!(PathPattern::new(Option::None).coverage("/x"), All);
    }

    #[test]
    fn a_large_pattern_is_valid_and_covers_an_unknown_part() {
        let pattern = PathPattern::new(Some("(a|b)*a(a|b){40}x"));
        assert!(matches!(pattern, PathPattern::Unknown), "{pattern:?}");
        assert_eq!((pattern.validate(), pattern.coverage("")), (Ok(()), Coverage::Part));
    }
}
