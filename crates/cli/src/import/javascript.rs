//! The literals that a script gives to names: `const A = ['x']` and `a: 'x'`. JSON5 has the syntax
//! of JavaScript's literals; anything else is no literal.

use serde_json::Value;

/// A named literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub(super) name: String,
    /// Null if the value is not a literal.
    pub(super) value: Value,
    pub(super) line: usize,
}

/// The limits of a literal, in brackets and in bytes, and the limit of a name and of a literal
/// without brackets. They keep the time linear in the length of the script.
const DEPTH: usize = 8;
const LENGTH: usize = 64 * 1024;
const LINE: usize = 512;

/// The literals of a script in their order. Lines that begin with a comment are skipped.
pub(super) fn literals(script: &str) -> Vec<Literal> {
    let is_comment = |line: &str| ["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark));
    let code: String = script.split_inclusive('\n').map(|line| if is_comment(line) { "\n" } else { line }).collect();
    let (mut literals, mut line, mut start) = (Vec::new(), 1, 0);
    for (at, c) in code.char_indices() {
        let after = &code[at + c.len_utf8()..];
        let is_comparison = after.starts_with(['=', '>']) || code[..at].ends_with(['=', '!', '<', '>']);
        if matches!(c, '=' | ':') && !is_comparison {
            literals.extend(name(&code[start..at]).map(|name| Literal { name, value: value(after), line }));
        }
        if matches!(c, '\n' | ';' | ',' | '{' | '(' | '=') {
            start = at + 1;
        }
        line += usize::from(c == '\n');
    }
    literals
}

/// The name in `const NAME`, `NAME: Type` and `'NAME'`.
fn name(declaration: &str) -> Option<String> {
    let declaration = Some(declaration).filter(|declaration| declaration.len() < LINE)?;
    let name = declaration.split(':').next()?.split_whitespace().last()?.trim_matches(['\'', '"', '?']);
    let is_name = |c: char| c.is_alphanumeric() || "_$.-".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
}

fn value(after: &str) -> Value {
    let after = after.trim_start().trim_start_matches("Object.freeze(");
    let text = end(after).map_or("", |end| &after[..end]).trim().trim_end_matches("as const").replace('`', "\"");
    let factors = text.split('*').map(|factor| factor.trim().replace('_', "").parse::<u64>().ok());
    match factors.reduce(|product, factor| product?.checked_mul(factor?)).flatten() {
        Some(number) => number.into(),
        None if text.contains("${") => Value::Null,
        None => json5::from_str(&text).unwrap_or_default(),
    }
}

/// The end of a literal: its closing bracket, or a separator behind it.
fn end(text: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0_usize);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if at > if depth == 0 { LINE } else { LENGTH } => return None,
            '\\' => _ = chars.next(),
            c if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '"' | '\'' | '`' => quote = Some(c),
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 1 => return Some(at + 1),
            ']' | '}' if depth > 0 => depth -= 1,
            ',' | ';' | ')' | ']' | '}' | '\n' if depth == 0 => return Some(at),
            '=' | '+' | '?' | '(' | '&' | '|' if depth == 0 => return None,
            _ => {}
        }
        if depth > DEPTH {
            return None;
        }
    }
    (depth == 0).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        let found: Vec<String> =
            literals(script).iter().map(|it| format!("{} {} {}", it.name, it.value, it.line)).collect();
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn literals_have_names_and_lines() {
        check(
            "const A = 'a', B = 2 * 30 * 1_000;\n// C = 1\n/* D = 2\n*/\nG?: string = \"g\" as const",
            &["A \"a\" 1", "B 60000 1", "G null 5", "G \"g\" 5"],
        );
        check("f({ a: `x // y`, 'b': 'it\\'s' })", &["a \"x // y\" 1", "b \"it's\" 1"]);
    }

    #[test]
    fn expressions_are_null() {
        for script in
            ["A = 'a' + b", "A = env.A", "A = `a${b}`", "A = f(1)", "A = 1 ? 2", "A = -x", "A = [a]", "A = 'b"]
        {
            check(script, &["A null 1"]);
        }
        check("A == 1; A => 1; A >= 1", &[]);
    }

    #[test]
    fn brackets_are_read_to_their_end() {
        check("S: readonly string[] = Object.freeze(['a', [1,],\n]); b", &["S null 1", "S [\"a\",[1]] 1"]);
        check("S = [{ u: 'x', // y\n w: 1 }].filter(f)", &["S [{\"u\":\"x\",\"w\":1}] 1", "u \"x\" 1", "w 1 2"]);
        check("S = ['a',", &["S null 1"]);
    }

    /// With quadratic time, each of these would take minutes.
    #[test]
    fn time_is_linear() {
        for piece in ["a:[", "a=[", "a={b:", "a=`", "`${", "'\\", "/*/", "[{(", "a ", ":", "a='", "a:b<"] {
            let _ = literals(&piece.repeat(64 * 1024 / piece.len()));
        }
    }
}
