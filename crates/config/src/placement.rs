//! The maps that a key belongs to.

use crate::reader::Setting;
use crate::{ejection, file, health_check, retry, server, settings, tls};

/// Returns the maps that have the key `name`, if this one, with the keys `known`, is such a map of
/// settings, too.
pub(crate) fn owners(name: &str, known: &[&str]) -> Option<String> {
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
