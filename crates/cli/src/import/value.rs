//! What a name is given in a script.

use super::javascript::{Kind, Token};

/// A name and its value, as in `NAME = value`, `NAME: Type = value` and `name: value`.
pub(super) struct Given<'t> {
    pub(super) name: &'t str,
    pub(super) value: &'t [Token],
    /// Where the value begins among all tokens.
    pub(super) start: usize,
}

/// What is given to the name at `at`, if there is one.
pub(super) fn given(tokens: &[Token], at: usize) -> Option<Given<'_>> {
    let name = match &tokens.get(at)?.kind {
        Kind::Name(name) => name,
        Kind::Text(name) if at > 0 && matches!(tokens.get(at - 1)?.kind, Kind::Mark('{' | ',')) => name,
        _ => return None,
    };
    let mut after = tokens.get(at + 1..)?;
    // As in `NAME?: string` and `NAME!: string`.
    if is_mark(after, 0, "?!") && is_mark(after, 1, ":") {
        after = after.get(1..)?;
    }
    // The type in `NAME: Type = value`.
    if at > 0 && is_mark(tokens, at - 1, ":") && is_mark(after, 0, "=") {
        return None;
    }
    let mut rest = after.get(1..)?;
    if is_mark(after, 0, ":") {
        match type_end(rest) {
            Some(end) => rest = rest.get(end + 1..)?,
            None if is_type(expression(rest)) => return None,
            None => {}
        }
    } else if !is_assignment(after, 0) {
        return None;
    }
    let value = expression(rest);
    (!value.is_empty()).then_some(Given { name, value, start: tokens.len() - rest.len() })
}

/// What comes last where a script sets something only if nothing else does: behind `??`, `||`, or
/// the `:` of a condition.
pub(super) fn default_of(value: &[Token]) -> Option<&[Token]> {
    let depth = value.first()?.depth;
    let last = value.iter().enumerate().rposition(|(at, token)| match token.kind {
        Kind::Mark(':') => token.depth == depth,
        Kind::Mark(mark @ ('?' | '|')) => {
            token.depth == depth && at > 0 && value.get(at - 1).is_some_and(|before| before.kind == Kind::Mark(mark))
        }
        _ => false,
    })?;
    value.get(last + 1..)
}

pub(super) fn is_mark(tokens: &[Token], at: usize, marks: &str) -> bool {
    matches!(tokens.get(at), Some(Token { kind: Kind::Mark(mark), .. }) if marks.contains(*mark))
}

/// What the commas of a list or an object are between.
pub(super) fn elements(inside: &[Token]) -> Vec<&[Token]> {
    let (mut elements, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(token) = inside.get(at) {
        if token.kind == Kind::Mark(',') {
            elements.extend(inside.get(start..at));
            start = at + 1;
        }
        at += 1 + token.closes.unwrap_or(0);
    }
    elements.extend(inside.get(start..));
    elements.retain(|element| !element.is_empty());
    elements
}

/// A value from its first token to its end, without a TypeScript `as` or `satisfies`.
fn expression(tokens: &[Token]) -> &[Token] {
    /// Of what is written out, nothing is longer: what is in brackets counts as one.
    const MOST: usize = 64;
    let mut end = 0;
    for _ in 0..MOST {
        let Some(token) = tokens.get(end) else { break };
        let is_over = match &token.kind {
            Kind::Mark(mark) => ";,)]}".contains(*mark),
            Kind::Name(word) if matches!(word.as_str(), "as" | "satisfies") => end > 0,
            Kind::Name(word) if matches!(word.as_str(), "in" | "of" | "instanceof") => false,
            _ => end > 0 && ends_line(tokens, end - 1, token.line),
        };
        if is_over {
            break;
        }
        end = (end + 1 + token.closes.unwrap_or(0)).min(tokens.len());
    }
    tokens.get(..end).unwrap_or(tokens)
}

/// Whether a value that ends here is over, as there is no operator behind it on its line.
fn ends_line(tokens: &[Token], at: usize, next_line: usize) -> bool {
    tokens.get(at).is_some_and(|last| match last.kind {
        Kind::Mark(mark) => ")]}".contains(mark) && last.line < next_line,
        _ => last.line < next_line,
    })
}

fn is_assignment(tokens: &[Token], at: usize) -> bool {
    is_mark(tokens, at, "=") && !is_mark(tokens, at + 1, "=>")
}

/// Where the `=` is behind a type.
fn type_end(tokens: &[Token]) -> Option<usize> {
    const MOST: usize = 32;
    let (mut angles, mut at) = (0_usize, 0);
    for _ in 0..MOST {
        let token = tokens.get(at)?;
        match token.kind {
            Kind::Mark('<') => angles += 1,
            Kind::Mark('>') => angles = angles.checked_sub(1)?,
            Kind::Mark('=') => return (at > 0 && angles == 0 && is_assignment(tokens, at)).then_some(at),
            Kind::Mark(',') if angles > 0 => {}
            Kind::Mark('.' | '|' | '&' | '[' | '{') | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) => {}
            _ => return None,
        }
        at += 1 + token.closes.unwrap_or(0);
    }
    None
}

/// Whether what follows a `:` is the type of something, as in an interface or among parameters.
fn is_type(value: &[Token]) -> bool {
    const TYPES: [&str; 10] =
        ["string", "number", "boolean", "any", "unknown", "readonly", "Array", "ReadonlyArray", "Record", "Promise"];
    let Some(Token { kind: Kind::Name(first), .. }) = value.first() else { return false };
    let is_list = value.len() > 2 && is_mark(value, value.len() - 2, "[") && is_mark(value, value.len() - 1, "]");
    is_list || (TYPES.contains(&first.as_str()) && !is_mark(value, 1, "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::javascript::tokens;

    fn shown(tokens: &[Token]) -> String {
        let shown = tokens.iter().map(|token| match &token.kind {
            Kind::Name(text) | Kind::Text(text) => text.clone(),
            Kind::Number(number) => number.to_string(),
            Kind::Other => "?".to_owned(),
            Kind::Mark(mark) => mark.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_value_ends_where_it_does() {
        let table = [
            ("A = 1 * 2; b", "1 * 2"),
            ("A: string = '/up', b", "/up"),
            ("A?: Record<string, string[]> = { a: [] }\nb", "{ a : [ ] }"),
            ("A = env.A ?? 'x'\nconst b", "env . A ? ? x"),
            ("A = env.A\n ?? 'x' as const", "env . A ? ? x"),
            ("A = f(1,\n2)\n'b'", "f ( 1 , 2 )"),
            ("A: b }", "b"),
            ("A: e => b = 1", "e = > b = 1"),
            ("A: string[];", "-"),
            ("A: string | undefined;", "-"),
            ("A == 1", "-"),
            ("A => 1", "-"),
            ("A", "-"),
        ];
        for (script, expected) in table {
            let tokens = tokens(script).unwrap();
            let found = given(&tokens, 0).map_or_else(|| "-".to_owned(), |given| shown(given.value));
            assert_eq!(found, expected, "{script}");
        }
        let tokens = tokens("{ 'a': 1, b }").unwrap();
        assert_eq!(given(&tokens, 1).map(|given| (given.name, shown(given.value))), Some(("a", "1".to_owned())));
    }

    #[test]
    fn a_default_is_what_comes_last() {
        for (script, expected) in [
            ("a ?? 'x'", "x"),
            ("a || f(b || c)", "f ( b | | c )"),
            ("a ? b : 5", "5"),
            ("a.b", "-"),
            ("f(a ?? b)", "-"),
        ] {
            let tokens = tokens(script).unwrap();
            assert_eq!(default_of(&tokens).map_or_else(|| "-".to_owned(), shown), expected, "{script}");
        }
    }
}
