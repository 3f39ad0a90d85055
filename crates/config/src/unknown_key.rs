//! Reports of unknown keys, which may be misspelled or belong to another map.

use crate::diagnostic::Code;
use crate::environment::KeyOwners;
use crate::node::backticked;
use crate::report::Report;
use crate::{renamed, slips, suggest, synonyms};

/// The report of an unknown key.
pub(crate) struct UnknownKey {
    pub(crate) report: Report,
    /// The missing key of the same map that was probably meant.
    pub(crate) meant: Option<&'static str>,
}

/// Creates the report of the key `name` of a map with the keys `known`, of which those in `missing`
/// are required and absent. `owners` returns the maps that have the key.
pub(crate) fn unknown_key(
    name: &str,
    known: &[&'static str],
    missing: &[(&'static str, String)],
    owners: KeyOwners,
) -> UnknownKey {
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
