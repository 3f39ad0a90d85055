//! The schema has the limits of the readers, and accepts every file that the reader accepts.

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;

use super::*;
use crate::diagnostic::Code;
use crate::{parse, server, settings};

/// A value at the limit of a setting.
pub(crate) struct Edge {
    pub(crate) value: Json,
    pub(crate) is_valid: bool,
    /// Whether the schema rejects it, if it is invalid.
    is_detected: bool,
}

/// Checks every limit of every setting with the reader and with the schema.
#[test]
fn limits_are_those_of_the_readers() {
    let validator = Validator::new();
    let mut checked = 0;
    let mut each = |keys: &[SettingDoc], path: &[&str], file: &dyn Fn(&[&str], Json) -> Json| {
        for (path, about) in leaves(keys, path) {
            for Edge { value, is_valid, is_detected } in edges(&about.schema) {
                let file = file(&path, value);
                let text = file.to_string();
                assert_eq!(is_read(&text), is_valid, "the reader: {text}");
                assert_eq!(validator.accepts(&file), is_valid || !is_detected, "the schema: {text}");
                checked += 1;
            }
        }
    };
    each(&crate::reader::Setting::docs(settings::KEYS), &[], &|path, value| {
        let service = put(json!({ "servers": "b.example.net" }), path, value);
        json!({ "services": { "a.example.com": service } })
    });
    each(&crate::reader::Setting::docs(server::KEYS), &[], &|path, value| {
        let server = put(json!({ "url": "c.example.net" }), path, value);
        json!({ "services": { "a.example.com": ["b.example.net", server] } })
    });
    assert!(checked > 150, "{checked}");
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let validator = Validator::new();
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) });
    let accepted = std::cell::Cell::new(0);
    let outcome = runner.run(&any_value(&file::SCHEMA), |file| {
        let text = file.to_string();
        if parse(&text).is_ok() {
            accepted.set(accepted.get() + 1);
            prop_assert!(validator.accepts(&file), "{text}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(accepted.get() > 200, "too few files are valid: {}", accepted.get());
}

struct Validator(Schemas, SchemaIndex);

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", serde_json::from_str(&schema()).unwrap()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self(schemas, index)
    }

    fn accepts(&self, file: &Json) -> bool {
        self.0.validate(file, self.1).is_ok()
    }
}

/// Returns whether a file has no errors except conflicts between settings.
fn is_read(text: &str) -> bool {
    let errors = parse(text).err();
    errors
        .iter()
        .flat_map(|errors| errors.diagnostics())
        .all(|one| matches!(one.code, Code::Conflict | Code::InvalidServers))
}

/// Returns all settings with their paths.
pub(crate) fn leaves<'a>(keys: &[SettingDoc], path: &[&'a str]) -> Vec<(Vec<&'a str>, SettingDoc)> {
    let leaf = |about: &SettingDoc| {
        let path = [path, &[about.name]].concat();
        let mut found: Vec<_> = maps(&about.schema).iter().flat_map(|keys| leaves(keys, &path)).collect();
        found.push((path, about.clone()));
        found
    };
    keys.iter().flat_map(leaf).collect()
}

fn maps(schema: &ValueSchema) -> Vec<Vec<SettingDoc>> {
    match schema {
        ValueSchema::Map(keys) => vec![keys()],
        ValueSchema::OneOf(schemas) => schemas.iter().flat_map(maps).collect(),
        ValueSchema::Shared(_, schema) => maps(schema),
        _ => Vec::new(),
    }
}

pub(crate) fn edges(schema: &ValueSchema) -> Vec<Edge> {
    let valid = |value| Edge { value, is_valid: true, is_detected: true };
    let invalid = |value| Edge { value, is_valid: false, is_detected: true };
    let undetected = |value| Edge { value, is_valid: false, is_detected: false };
    match schema {
        ValueSchema::Disabled => vec![valid(json!(false))],
        ValueSchema::Boolean => vec![valid(json!(false)), valid(json!(true)), invalid(json!("true"))],
        ValueSchema::Number(range) | ValueSchema::Percent(range) => vec![
            valid(json!(range.start())),
            valid(json!(range.end())),
            invalid(json!(i64::from(*range.start()) - 1)),
            invalid(json!(range.end() + 1)),
            invalid(json!(range.start().to_string())),
            invalid(Json::Null),
        ],
        ValueSchema::Duration(range) => {
            let millisecond = std::time::Duration::from_millis(1);
            let written = |duration| json!(duration::format_duration(duration));
            let less = range.start().saturating_sub(millisecond);
            vec![
                valid(written(*range.start())),
                valid(written(*range.end())),
                if less.is_zero() { invalid(written(less)) } else { undetected(written(less)) },
                undetected(written(*range.end() + millisecond)),
                invalid(json!(30)),
                invalid(json!("30")),
                invalid(json!("1s1h")),
            ]
        }
        ValueSchema::Size(range) => vec![
            valid(json!(range.start())),
            valid(json!(range.end())),
            valid(json!(size::format_size(*range.end()))),
            invalid(json!(range.end() + 1)),
            undetected(json!((range.end() + 1).to_string())),
            invalid(json!("64KB")),
        ],
        ValueSchema::Statuses { least, may_be_empty } => vec![
            valid(json!(least)),
            valid(json!(format!("{least}-599"))),
            valid(json!([least, " 0500 - 599 "])),
            invalid(json!(least - 1)),
            invalid(json!([600])),
            invalid(json!(format!("{}-599", least - 1))),
            undetected(json!("599-500")),
            if *may_be_empty { valid(json!([])) } else { invalid(json!([])) },
        ],
        ValueSchema::String(text) => text
            .longest
            .into_iter()
            .flat_map(|most| [valid(json!("x".repeat(most))), invalid(json!("x".repeat(most + 1)))])
            .chain([invalid(Json::Null)])
            .collect(),
        ValueSchema::Enum(words) => {
            words().into_iter().map(|word| valid(json!(word))).chain([invalid(json!("wrod"))]).collect()
        }
        // Invalid values that no other schema accepts.
        ValueSchema::OneOf(schemas) => {
            let all: Vec<Edge> = schemas.iter().flat_map(edges).collect();
            let is_valid = |value: &Json| all.iter().any(|edge| edge.is_valid && edge.value == *value);
            let accepted: Vec<Json> = all.iter().map(|edge| edge.value.clone()).filter(is_valid).collect();
            all.into_iter().filter(|edge| edge.is_valid || !accepted.contains(&edge.value)).collect()
        }
        ValueSchema::Shared(_, schema) => edges(schema),
        ValueSchema::Map(_) | ValueSchema::MapOf { .. } | ValueSchema::List(..) => {
            vec![invalid(json!(7)), invalid(json!({ "unknown": 1 }))]
        }
    }
}

/// Returns `map` with `value` at `path`, and with the other required keys.
pub(crate) fn put(mut map: Json, path: &[&str], value: Json) -> Json {
    match path {
        ["affinity", _] => map["affinity"] = json!({ "cookie": "lb", "key": "${KEY}" }),
        ["health_check", "expect_header", _] => {
            map["health_check"] = json!({ "expect_header": { "name": "x", "contains": "y" } });
        }
        _ => {}
    }
    let mut at = &mut map;
    for key in path {
        at = &mut at[key];
    }
    *at = value;
    map
}

/// Generates values that a schema mostly accepts.
pub(crate) fn any_value(schema: &ValueSchema) -> BoxedStrategy<Json> {
    let accepted = match schema {
        ValueSchema::Disabled => Just(json!(false)).boxed(),
        ValueSchema::Boolean => any::<bool>().prop_map(|value| json!(value)).boxed(),
        ValueSchema::Number(range) | ValueSchema::Percent(range) => {
            range.clone().prop_map(|number| json!(number)).boxed()
        }
        ValueSchema::Duration(range) => {
            let millis = |duration: &std::time::Duration| u64::try_from(duration.as_millis()).unwrap();
            let (least, most) = (millis(range.start()), millis(range.end()));
            let written = |millis| json!(duration::format_duration(std::time::Duration::from_millis(millis)));
            prop_oneof![(least..=most).prop_map(written), (1..60_u32).prop_map(|n| json!(format!("0h{n}s")))].boxed()
        }
        ValueSchema::Size(range) => {
            prop_oneof![range.clone().prop_map(|n| json!(n)), range.clone().prop_map(|n| json!(size::format_size(n)))]
                .boxed()
        }
        ValueSchema::Statuses { least, .. } => {
            let one = (*least..=599, 0..100_u16);
            let one = one.prop_map(|(n, more)| if more < 50 { json!(n) } else { json!(format!("{n}-{}", n + more)) });
            prop_oneof![one.clone(), proptest::collection::vec(one, 0..3).prop_map(|list| json!(list))].boxed()
        }
        ValueSchema::String(text) => any_text(text).prop_map(|text| json!(text)).boxed(),
        ValueSchema::Enum(words) => proptest::sample::select(words()).prop_map(|word| json!(word)).boxed(),
        ValueSchema::OneOf(schemas) => proptest::strategy::Union::new(schemas.iter().map(any_value)).boxed(),
        ValueSchema::List(item, _) => {
            proptest::collection::vec(any_value(item), 1..4).prop_map(|list| json!(list)).boxed()
        }
        ValueSchema::Map(keys) => any_map(&keys()),
        ValueSchema::MapOf { keys, values, .. } => {
            let entries = proptest::collection::btree_map(any_text(keys), any_value(values), 1..3);
            entries.prop_map(|entries| json!(entries)).boxed()
        }
        ValueSchema::Shared(_, schema) => any_value(schema),
    };
    let odd = [Json::Null, json!(0), json!(1.5), json!("x"), json!("1"), json!(true), json!([]), json!({})];
    prop_oneof![200 => accepted, 1 => proptest::sample::select(odd.to_vec())].boxed()
}

fn any_map(keys: &[SettingDoc]) -> BoxedStrategy<Json> {
    let entry = |about: &SettingDoc| {
        let (name, often) = (about.name, if about.required { 0.99 } else { 0.15 });
        proptest::option::weighted(often, any_value(&about.schema)).prop_map(move |value| Some((name, value?)))
    };
    let entries: Vec<_> = keys.iter().map(|about| entry(about).boxed()).collect();
    entries
        .prop_map(|entries| Json::Object(entries.into_iter().flatten().map(|(k, v)| (k.to_owned(), v)).collect()))
        .boxed()
}

/// Generates strings from the pattern. The patterns of addresses are too general for that.
fn any_text(text: &StringSchema) -> BoxedStrategy<String> {
    let from = |examples: &[&str]| {
        let examples: Vec<String> = examples.iter().map(|example| (*example).to_owned()).collect();
        proptest::sample::select(examples).boxed()
    };
    match text.what {
        "a hostname or URL" => from(&[
            "a.example.net",
            "B.example.NET.",
            "http://127.0.0.1:8080/base/",
            "HTTPS://[::1]:8443",
            "https:///c.example.net/a@b:c//d%20",
            "bücher.example",
            "d.example.net:8443/*",
            "e_f",
        ]),
        "a public address" => from(&[
            "a.example.com",
            "A.example.com.:443/Api/v2/",
            "bücher.example/%C3%BC/x;y=(z)",
            "localhost:8787",
            "[::1]:8787/x",
            "my_service/[a]~b/",
        ]),
        "a page in HTML" => from(&["<p>", "\n\u{2003}<!doctype html>\n<p>{{status}}"]),
        _ => string_regex(text.pattern.trim_start_matches('^').trim_end_matches('$')).unwrap().boxed(),
    }
}
