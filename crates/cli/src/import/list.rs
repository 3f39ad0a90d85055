//! Where the lists of servers are in a script, and what they are made of.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::javascript::{Kind, Token};
use super::value::{default_of, elements, given, is_mark};

/// What by its name is a list of servers.
#[derive(Debug)]
pub(super) struct List<'t> {
    pub(super) name: &'t str,
    pub(super) line: usize,
    /// Which tokens it is made of.
    pub(super) range: Range<usize>,
    /// Its name speaks of servers, and not of origins, which may be those that are allowed to ask.
    pub(super) is_of_servers: bool,
    pub(super) content: Content<'t>,
    /// Its name is that of a list.
    pub(super) is_many: bool,
    /// That it cannot be read is worth telling even where another list can.
    pub(super) is_loud: bool,
    /// What is not taken over of it, though it is a list.
    pub(super) remark: Option<&'static str>,
}

#[derive(Debug)]
pub(super) enum Content<'t> {
    /// What is between the brackets of a list.
    Servers(Cow<'t, [Token]>),
    /// What is between the braces of an object with public hosts and their lists.
    Hosts(&'t [Token]),
    /// A bracket that is not closed.
    Open,
    /// Put together at run time.
    Unknown,
}

/// All lists of servers, in their order; none that is empty, and none that is made from another
/// one.
pub(super) fn lists(tokens: &[Token]) -> Vec<List<'_>> {
    let mut lists: Vec<List<'_>> = (0..tokens.len()).filter_map(|at| list_at(tokens, at)).collect();
    let names: BTreeSet<&str> =
        lists.iter().filter(|list| !matches!(list.content, Content::Unknown)).map(|list| list.name).collect();
    lists.retain(|list| !is_made_from(tokens.get(list.range.clone()).unwrap_or_default(), &names));
    lists
}

/// The list that a value is, and what is to be said of it.
pub(super) fn content(value: &[Token]) -> (Content<'_>, Option<&'static str>) {
    if let Some(inside) = inside(value, '[') {
        return (Content::Servers(Cow::Borrowed(inside)), None);
    }
    if let Some(inside) = inside(value, '{') {
        let has_hosts = elements(inside).iter().filter_map(|entry| entry_of(entry)).any(|(key, _)| key.contains('.'));
        return (if has_hosts { Content::Hosts(inside) } else { Content::Unknown }, None);
    }
    if value.iter().any(|token| token.kind == Kind::Mark('[') && token.closes.is_none()) {
        return (Content::Open, None);
    }
    if let [Token { kind: Kind::Text(text), line, .. }, dot, split, open, Token { kind: Kind::Text(by), .. }, ..] =
        value
        && is_mark(std::slice::from_ref(dot), 0, ".")
        && split.kind == Kind::Name("split".to_owned())
        && open.closes == Some(2)
        && !by.is_empty()
    {
        let token = |kind: Kind| Token { kind, line: *line, depth: 0, closes: None };
        let parts = text.split(by.as_str()).filter(|part| !part.trim().is_empty());
        let parts = parts.flat_map(|part| [token(Kind::Text(part.trim().to_owned())), token(Kind::Mark(','))]);
        return (Content::Servers(parts.collect()), None);
    }
    // As in `Object.freeze([...])`.
    if let Some(at) = value.iter().position(|token| token.kind == Kind::Mark('('))
        && value.get(..at).is_some_and(|before| before.iter().all(|it| is_part_of_call(&it.kind)))
        && let Some(inside) = value.get(at..).and_then(|call| inside(call, '('))
        && let Some(first) = elements(inside).first()
        && let found @ (Content::Servers(_) | Content::Hosts(_) | Content::Open, _) = content(first)
    {
        return found;
    }
    // As in `[...].filter(Boolean)`.
    if let Some(end) = value.first().filter(|_| is_mark(value, 0, "[")).and_then(|first| first.closes)
        && is_mark(value, end + 1, ".")
    {
        let list = value.get(1..end).unwrap_or_default();
        let is_filter = value.get(end + 2).is_some_and(|token| token.kind == Kind::Name("filter".to_owned()));
        let remark = "what is done with it behind its `]` was not taken over";
        return (Content::Servers(Cow::Borrowed(list)), (!is_filter).then_some(remark));
    }
    match default_of(value).map(content) {
        Some((found @ (Content::Servers(_) | Content::Hosts(_)), None)) => {
            (found, Some("only its default is written out"))
        }
        Some((Content::Open, _)) => (Content::Open, None),
        _ => (Content::Unknown, None),
    }
}

/// The key and the value of an entry of an object.
pub(super) fn entry_of(entry: &[Token]) -> Option<(&str, &[Token])> {
    match entry {
        [Token { kind: Kind::Name(key) | Kind::Text(key), .. }, Token { kind: Kind::Mark(':'), .. }, value @ ..] => {
            Some((key, value))
        }
        _ => None,
    }
}

fn list_at(tokens: &[Token], at: usize) -> Option<List<'_>> {
    let (Kind::Name(name) | Kind::Text(name)) = &tokens.get(at)?.kind else { return None };
    let lower = name.replace('_', "").to_ascii_lowercase().replace("observer", "").replace("original", "");
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if !has(&["server", "backend", "origin", "upstream"]) || has(&["allow", "cors", "whitelist"]) {
        return None;
    }
    let given = given(tokens, at)?;
    let (content, remark) = content(given.value);
    let is_one = match &content {
        Content::Servers(inside) => inside.iter().any(is_something),
        Content::Hosts(_) | Content::Open => true,
        Content::Unknown => is_many(&lower) && is_computed(given.value),
    };
    let token = tokens.get(at).filter(|_| is_one)?;
    Some(List {
        name,
        line: token.line,
        range: given.start..given.start + given.value.len(),
        is_of_servers: has(&["server", "backend", "upstream"]),
        is_many: is_many(&lower),
        is_loud: is_many(&lower)
            && (token.depth == 0
                || !name.contains(char::is_lowercase)
                || given.value.iter().any(|token| token.kind == Kind::Name("env".to_owned()))),
        content,
        remark,
    })
}

/// What is between such brackets, if the value is nothing else.
fn inside(value: &[Token], bracket: char) -> Option<&[Token]> {
    let [Token { kind: Kind::Mark(mark), closes: Some(closes), .. }, ..] = value else { return None };
    if *mark == bracket && closes + 1 == value.len() { value.get(1..*closes) } else { None }
}

fn is_part_of_call(kind: &Kind) -> bool {
    matches!(kind, Kind::Name(_) | Kind::Mark('.' | '<' | '>' | '[' | ']'))
}

/// Whether a name is that of a list, such as `servers` and `SERVER_URLS`.
fn is_many(name: &str) -> bool {
    let stem = ["list", "urls", "hosts", "pool", "addresses"].iter().find_map(|end| name.strip_suffix(end));
    let one = stem.map(|stem| stem.trim_end_matches('s')).or_else(|| name.strip_suffix('s')).unwrap_or_default();
    ["server", "backend", "origin", "upstream"].iter().any(|word| one.ends_with(word))
}

/// Whether something in a list may stand for a server.
fn is_something(token: &Token) -> bool {
    match &token.kind {
        Kind::Name(name) => !["true", "false", "null", "undefined"].contains(&name.as_str()),
        Kind::Text(_) | Kind::Other => true,
        Kind::Number(_) | Kind::Mark(_) => false,
    }
}

/// Whether a value is put together at run time and is no function.
fn is_computed(value: &[Token]) -> bool {
    let [first, ..] = value else { return false };
    let is_function =
        value.windows(2).any(|two| is_mark(two, 0, "=") && is_mark(two, 1, ">") && two[0].depth == first.depth);
    let is_empty = match value {
        [.., open, close] => {
            is_mark(value, value.len() - 2, "([{")
                && open.closes == Some(1)
                && close.depth == first.depth
                && first.kind == Kind::Name("new".to_owned())
        }
        _ => false,
    };
    match &first.kind {
        Kind::Text(text) => text.contains('.') || value.len() > 1,
        Kind::Number(_) => false,
        Kind::Name(word) if word == "function" => false,
        Kind::Name(_) => !is_function && !is_empty && value.iter().any(is_something),
        Kind::Mark('[') => false,
        _ => !is_function && value.iter().any(is_something),
    }
}

/// Whether one of these names is in a value, other than as a key or a variable of the environment.
fn is_made_from(value: &[Token], names: &BTreeSet<&str>) -> bool {
    value.iter().enumerate().any(|(at, token)| {
        let Kind::Name(name) = &token.kind else { return false };
        let before = |steps: usize| at.checked_sub(steps).and_then(|at| value.get(at)).map(|token| &token.kind);
        let is_key = is_mark(value, at + 1, ":=") && before(1) != Some(&Kind::Mark('?'));
        let is_of_env = before(1) == Some(&Kind::Mark('.')) && before(2) == Some(&Kind::Name("env".to_owned()));
        names.contains(name.as_str()) && !is_key && !is_of_env
    })
}
