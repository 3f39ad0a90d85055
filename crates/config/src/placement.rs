//! Reports of unknown keys: a key may be misspelled, or belong to another map.

use crate::diagnostic::Code;
use crate::node::backticked;
use crate::reader::Setting;
use crate::report::Report;
use crate::{ejection, file, health_check, renamed, retry, server, settings, slips, suggest, synonyms, tls};

/// The report of an unknown key.
pub(crate) struct UnknownKey {
    pub(crate) report: Report,
    /// The missing key of the same map that was probably meant.
    pub(crate) meant: Option<&'static str>,
}

/// Creates the report of the key `name` of a map with the keys `known`, of which those in `missing`
/// are required and absent.
pub(crate) fn unknown_key(name: &str, known: &[&'static str], missing: &[(&'static str, String)]) -> UnknownKey {
    if let Some((key, _)) = name.split_once(':')
        && let Some(key) = known.iter().find(|known| **known == key.trim())
    {
        // The message omits the value, which may be a secret.
        let report = Report::new(Code::UnknownKey, format!("missing space after `{key}:`"));
        return UnknownKey { report: report.hint("add a space after the colon of each key"), meant: Some(*key) };
    }
    let report = Report::new(Code::UnknownKey, format!("unknown key {}", backticked(name)));
    let is_missing = |key: &&'static str| missing.iter().any(|(missing, _)| missing == key);
    let did_you_mean = |key: &'static str| (format!("did you mean `{key}`?"), Some(key).filter(is_missing));
    let (hint, meant) = if let Some(hint) = slips::look_alike(name) {
        (hint.to_owned(), None)
    } else if let Some(hint) = renamed::hint(name, known) {
        (hint, None)
    } else if name.contains('.') && known.contains(&"services") {
        ("move it to `services`".to_owned(), Some("services"))
    } else if name.contains('.') && known.contains(&"servers") {
        ("list it in `servers`: `servers: [chat-a.example.com]`".to_owned(), Some("servers"))
    } else if let Some(hint) = synonyms::negation(name, known) {
        (hint.to_owned(), None)
    } else if name == "host" && known.contains(&"host_header") && !is_missing(&"url") {
        did_you_mean("host_header")
    } else if let Some(key) = synonyms::key(name, known) {
        did_you_mean(key)
    } else if let Some(owners) = owners(name, known) {
        (format!("move it to {owners}"), None)
    } else if let Some(key) = suggest::nearest(name, known) {
        did_you_mean(key)
    } else if let ([only], Some((_, hint))) = (known, missing.first()) {
        (hint.clone(), Some(*only))
    } else {
        let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        (format!("expected one of {}", known.join(", ")), None)
    };
    UnknownKey { report: report.hint(hint), meant }
}

/// Returns the maps that have the key `name`, if this one, with the keys `known`, is such a map of
/// settings, too.
fn owners(name: &str, known: &[&str]) -> Option<String> {
    let tables: [(&str, Vec<&'static str>); 10] = [
        ("the top level", [vec!["services", "defaults"], names(file::KEYS)].concat()),
        ("a service", vec!["servers"]),
        ("a service", names(settings::KEYS)),
        ("`defaults`", names(settings::KEYS)),
        ("`health_check`", names(health_check::KEYS)),
        ("`retry`", names(retry::KEYS)),
        ("`retry.budget`", names(retry::BUDGET_KEYS)),
        ("`ejection`", names(ejection::KEYS)),
        ("`tls`", names(tls::KEYS)),
        ("a server", [vec!["url"], names(server::KEYS)].concat()),
    ];
    let is_this = |keys: &[&str]| keys.iter().all(|key| known.contains(key));
    if !tables.iter().any(|(_, keys)| is_this(keys)) {
        return None;
    }
    let is_other = |keys: &[&str]| keys.contains(&name) && !is_this(keys);
    let owners: Vec<&str> = tables.iter().filter(|(_, keys)| is_other(keys)).map(|(owner, _)| *owner).collect();
    let (last, first) = owners.split_last()?;
    Some(if first.is_empty() { (*last).to_owned() } else { format!("{} or {last}", first.join(", ")) })
}

fn names<T>(keys: &[Setting<T>]) -> Vec<&'static str> {
    keys.iter().map(Setting::name).collect()
}
