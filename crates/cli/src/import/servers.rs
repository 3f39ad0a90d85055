//! The servers that the lists of a script stand for.

use super::Note;
use super::constants::{Constant, Constants, Value};
use super::javascript::{Kind, Token};
use super::list::{Content, List, content, entry_of, lists};
use super::value::elements;
use crate::draft::{DraftServer, told, wrong_address, wrong_server};

/// Servers, and their public host where the script says it.
pub(super) struct Group {
    pub(super) host: Option<String>,
    pub(super) servers: Vec<DraftServer>,
}

/// The first list that has servers, and is not one of origins while there is one of servers.
pub(super) fn groups(tokens: &[Token], constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Vec<Group> {
    let lists = lists(tokens);
    let read = |list: &List<'_>| {
        let mut about = Vec::new();
        let groups = list_groups(list, constants, file, &mut about);
        (!groups.is_empty()).then_some((groups, about))
    };
    let of_servers = lists.iter().filter(|list| list.is_of_servers);
    let mut found = of_servers.clone().find_map(|list| Some((list, read(list)?)));
    let unread = of_servers.clone().find(|list| list.is_loud);
    if found.is_none() && unread.is_none() {
        found = lists.iter().filter(|list| !list.is_of_servers).find_map(|list| Some((list, read(list)?)));
    }
    let mut told = Vec::new();
    for list in &lists {
        let why = match &found {
            Some((other, _)) if std::ptr::eq(*other, list) => continue,
            Some((other, _)) if other.range.contains(&list.range.start) => continue,
            other => why_left_out(list, other.as_ref().map(|(list, _)| *list).or(unread), other.is_some()),
        };
        told.extend(why.map(|why| Note::new(format!("{file}:{}", list.line), why)));
    }
    if found.is_none() && told.is_empty() {
        let missing = "no list such as `const SERVERS = ['https://chat-a.example.com']` was found";
        told.push(Note::new(format!("{file}:1"), missing));
    }
    let (groups, mut about) = found.map_or_else(Default::default, |(_, found)| found);
    notes.append(&mut about);
    notes.append(&mut told);
    groups
}

/// What is to be said of a list that is not the one that is taken, or that no list is taken before.
fn why_left_out(list: &List<'_>, first: Option<&List<'_>>, is_found: bool) -> Option<String> {
    let name = list.name;
    let has_address = match &list.content {
        Content::Servers(inside) => {
            inside.iter().any(|token| matches!(&token.kind, Kind::Text(text) if text.contains('.')))
        }
        Content::Hosts(_) => true,
        Content::Open => return Some(format!("`{name}` is left out: its `[` is not closed")),
        Content::Unknown => {
            let is_told = list.is_loud || !is_found;
            return is_told.then(|| format!("`{name}` is left out: it is no list that is written out"));
        }
    };
    match first {
        Some(first) if has_address && (is_found || !list.is_of_servers) => {
            let (first, line) = (first.name, first.line);
            Some(format!("`{name}` is left out: the servers are those of `{first}` (line {line})"))
        }
        _ if has_address || list.is_many || !is_found => Some(format!("{name} has no address written out")),
        _ => None,
    }
}

fn list_groups(list: &List<'_>, constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Vec<Group> {
    notes.extend(
        list.remark.map(|remark| Note::new(format!("{file}:{}", list.line), format!("`{}`: {remark}", list.name))),
    );
    let inside = match &list.content {
        Content::Servers(inside) => {
            let servers = servers(inside, constants, file, notes);
            return if servers.is_empty() { Vec::new() } else { vec![Group { host: None, servers }] };
        }
        Content::Hosts(inside) => inside,
        Content::Open | Content::Unknown => return Vec::new(),
    };
    let mut groups = Vec::new();
    for entry in elements(inside) {
        let line = entry.first().map_or(list.line, |token| token.line);
        let mut note = |message: String| notes.push(Note::new(format!("{file}:{line}"), message));
        let Some((key, value)) = entry_of(entry) else {
            note(format!("this entry of `{}` was not understood", list.name));
            continue;
        };
        let host = key.trim_end_matches('.').to_ascii_lowercase();
        if !key.contains('.') || wrong_address(&host).is_some() {
            note(format!("`{key}` is left out: it is no public host"));
            continue;
        }
        let servers = match content(value) {
            (Content::Servers(inside), remark) => {
                remark.iter().for_each(|remark| note(format!("`{key}`: {remark}")));
                servers(&inside, constants, file, notes)
            }
            (Content::Open, _) => {
                note(format!("`{key}` is left out: its `[` is not closed"));
                continue;
            }
            _ => servers(value, constants, file, notes),
        };
        if servers.is_empty() {
            notes.push(Note::new(
                format!("{file}:{line}"),
                format!("`{key}` is left out: it has no address written out"),
            ));
        } else {
            groups.push(Group { host: Some(host), servers });
        }
    }
    groups
}

fn servers(inside: &[Token], constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Vec<DraftServer> {
    elements(inside).into_iter().filter_map(|element| element_server(element, constants, file, notes)).collect()
}

fn element_server(element: &[Token], constants: &Constants, file: &str, notes: &mut Vec<Note>) -> Option<DraftServer> {
    let line = element.first().map_or(1, |token| token.line);
    let place = format!("{file}:{line}");
    let mut note = |message: String| notes.push(Note::new(place.clone(), message));
    let (url, name) = if let Some(url) = text(element, constants) {
        (url, None)
    } else {
        let [Token { kind: Kind::Mark('{'), .. }, inside @ .., Token { kind: Kind::Mark('}'), .. }] = element else {
            note("this element of the list was not understood".to_owned());
            return None;
        };
        let (mut url, mut name) = (None, None);
        for entry in elements(inside) {
            let (key, value) = entry_of(entry).unwrap_or(("...", entry));
            match key.to_ascii_lowercase().as_str() {
                "url" | "host" | "hostname" | "address" | "origin" | "endpoint" | "href" => {
                    url = url.or_else(|| text(value, constants))
                }
                "name" | "id" | "label" => name = name.or_else(|| text(value, constants)),
                _ => note(format!("`{key}` of this server was not taken over")),
            }
        }
        let Some(url) = url else {
            note("this server has no `url` that is written out".to_owned());
            return None;
        };
        (url, name)
    };
    let url = url.trim().to_owned();
    if let Some(mistake) = wrong_server(&url) {
        note(format!("this cannot be a server: {}", told(&mistake).replace('\n', ";")));
        return None;
    }
    let mut server = DraftServer { url, name: None, comment: Some(format!("line {line}")) };
    if let Some(name) = name.filter(|name| !name.trim().is_empty()) {
        let plain = plain_name(&name);
        if plain != name {
            server.comment = Some(format!("line {line}, {name:?}"));
        }
        server.name = Some(plain);
    }
    Some(server)
}

/// A single text, or the name of one.
fn text(tokens: &[Token], constants: &Constants) -> Option<String> {
    match tokens {
        [Token { kind: Kind::Text(text), .. }] => Some(text.clone()),
        [Token { kind: Kind::Name(name), .. }] => match constants.get(name)? {
            Constant { value: Value::Text(text), is_default: false, .. } => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// A name as it can be sent in a header: see `name` of a server.
fn plain_name(name: &str) -> String {
    const MOST: usize = 64;
    let plain = |c: char| if c.is_ascii_graphic() && !",;\"'`\\".contains(c) { c } else { '-' };
    name.trim().chars().take(MOST).map(plain).collect()
}
