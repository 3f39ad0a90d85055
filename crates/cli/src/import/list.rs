//! Where the list of servers is in a script, and what it is made of.

use super::javascript::{Kind, Token};

/// What is between the brackets of a list that a name at `at` is given and that, by this name, is one of servers.
pub(super) fn list_at(tokens: &[Token], at: usize) -> Option<&[Token]> {
    /// As many as in `: string[] = Object.freeze([`.
    const BETWEEN: usize = 9;
    let Kind::Name(name) = &tokens.get(at)?.kind else { return None };
    let name = name.to_ascii_lowercase();
    if !["server", "backend", "origin", "upstream"].iter().any(|word| name.contains(word)) {
        return None;
    }
    let after = tokens.get(at + 1..)?;
    let kind = |index: usize| after.get(index).map(|token| &token.kind);
    if !matches!(kind(0), Some(Kind::Mark('=' | ':'))) {
        return None;
    }
    let is_harmless = |index: &usize| {
        *index == 0
            || matches!(kind(*index), Some(Kind::Name(_) | Kind::Mark('.' | '(' | '=' | '<' | '>')))
            || (kind(*index) == Some(&Kind::Mark('[')) && kind(index + 1) == Some(&Kind::Mark(']')))
            || kind(*index) == Some(&Kind::Mark(']'))
    };
    let start = (0..BETWEEN).take_while(is_harmless).last()? + 1;
    if kind(start) != Some(&Kind::Mark('[')) {
        return None;
    }
    let inside = after.get(start + 1..)?;
    Some(inside.get(..closing(inside)).unwrap_or(inside))
}

/// Where the bracket ends whose inside this is.
fn closing(inside: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in inside.iter().enumerate() {
        match token.kind {
            Kind::Mark('[' | '{' | '(') => depth += 1,
            Kind::Mark(']' | '}' | ')') if depth == 0 => return at,
            Kind::Mark(']' | '}' | ')') => depth -= 1,
            _ => {}
        }
    }
    inside.len()
}

/// What the commas of a list or an object are between.
pub(super) fn elements(inside: &[Token]) -> Vec<&[Token]> {
    let (mut elements, mut depth) = (Vec::new(), 0_usize);
    let mut start = 0;
    for (at, token) in inside.iter().enumerate() {
        match token.kind {
            Kind::Mark('[' | '{' | '(') => depth += 1,
            Kind::Mark(']' | '}' | ')') => depth = depth.saturating_sub(1),
            Kind::Mark(',') if depth == 0 => {
                elements.extend(inside.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.extend(inside.get(start..));
    elements.retain(|element| !element.is_empty());
    elements
}
