//! Removes from a source what only readers of the source need.

/// Spaces beside these have no meaning in a script.
pub(super) const SCRIPT: &str = "{};,=>?:|&()*<";
/// Spaces beside these have no meaning in styles. Before a colon, a space may have one.
pub(super) const STYLES: &str = "{};,>";

/// Returns a source without comment lines, indentation, and spaces beside punctuation. Strings and
/// templates stay as they are. A comment must be alone on its lines, and no regular expression may
/// contain a space or a quotation mark.
pub(super) fn compact(source: &str, punctuation: &str) -> String {
    let mut result = String::with_capacity(source.len());
    for line in source.lines().map(str::trim).filter(|line| !is_comment(line)) {
        append(&mut result, line, punctuation);
        result.push('\n');
    }
    result
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with("//") || (line.starts_with("/*") && line.ends_with("*/"))
}

/// Appends one line. A string ends within its line.
fn append(result: &mut String, line: &str, punctuation: &str) {
    let mut quotes = Vec::new();
    let mut is_escaped = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let is_code = matches!(quotes.last(), None | Some('{'));
        let is_beside = result.ends_with(|last| last == ':' || punctuation.contains(last))
            || characters.peek().is_some_and(|next| punctuation.contains(*next));
        if character == ' ' && is_code && is_beside {
            continue;
        }
        if !is_escaped {
            nest(&mut quotes, character, result.ends_with('$'), is_code);
        }
        is_escaped = character == '\\' && !is_escaped;
        result.push(character);
    }
}

/// Follows strings, templates, and the code within templates. `quotes` holds the open ones.
fn nest(quotes: &mut Vec<char>, character: char, is_after_dollar: bool, is_code: bool) {
    match (character, quotes.last()) {
        ('\'' | '"' | '`', Some(open)) if *open == character => _ = quotes.pop(),
        ('\'' | '"' | '`', _) if is_code => quotes.push(character),
        ('{', Some('`')) if is_after_dollar => quotes.push('{'),
        ('{', Some('{')) => quotes.push('{'),
        ('}', Some('{')) => _ = quotes.pop(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_indentation_and_spaces_are_removed() {
        let source = "// A comment.\n/** Another one. */\nfunction twice(n) {\n  return { n, m: n * 2 };\n}\n\n";
        assert_eq!(compact(source, SCRIPT), "function twice(n){\nreturn{n,m:n*2};\n}\n");
        assert_eq!(compact("a > b, p :hover { margin: 0 auto; }", STYLES), "a>b,p :hover{margin:0 auto;}\n");
    }

    #[test]
    fn strings_and_templates_are_unchanged() {
        for text in ["' = '", r#"" { \" } ""#, r"'it\'s = '", "` = ${x} , ${`, ${y} = `} ; `", "content:' ; '"] {
            assert_eq!(compact(text, SCRIPT), format!("{text}\n"));
        }
        assert_eq!(compact("`${a > b ? { c } : 'd > e'} > `", SCRIPT), "`${a>b?{c}:'d > e'} > `\n");
    }
}
