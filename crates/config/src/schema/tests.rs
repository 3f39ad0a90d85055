//! That what is told of a key is what its reader goes by, and that the schema accepts whatever the
//! reader accepts.

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;

use super::*;
use crate::diagnostic::Code;
use crate::{parse, server, settings};

/// A value at the edge of what a key may hold.
struct Edge {
    value: Json,
    is_right: bool,
    /// Whether the schema can tell.
    is_told: bool,
}

/// Checks every edge of every key by itself, with the reader and with the schema.
#[test]
fn the_limits_that_are_told_are_the_readers() {
    let validator = Validator::new();
    let mut checked = 0;
    let mut each = |keys: &[SettingDoc], path: &[&str], file: &dyn Fn(&[&str], Json) -> Json| {
        for (path, about) in leaves(keys, path) {
            for Edge { value, is_right, is_told } in edges(&about.schema) {
                let file = file(&path, value);
                let text = file.to_string();
                assert_eq!(is_read(&text), is_right, "the reader: {text}");
                assert_eq!(validator.accepts(&file), is_right || !is_told, "the schema: {text}");
                checked += 1;
            }
        }
    };
    each(
        &crate::reader::Setting::docs(settings::KEYS),
        &[],
        &|path, value| json!({ "services": { "a.example.com": put(json!({ "servers": "b.example.net" }), path, value) } }),
    );
    each(
        &crate::reader::Setting::docs(server::KEYS),
        &[],
        &|path, value| json!({ "services": { "a.example.com": ["b.example.net", put(json!({ "url": "c.example.net" }), path, value)] } }),
    );
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
    assert!(accepted.get() > 200, "too few are right to prove anything: {}", accepted.get());
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

/// Whether nothing is wrong with a file but what its settings are together.
fn is_read(text: &str) -> bool {
    let told = parse(text).err();
    told.iter()
        .flat_map(|errors| errors.diagnostics())
        .all(|one| matches!(one.code, Code::Conflict | Code::InvalidServers))
}

/// Every key that is no map, with the way to it.
fn leaves<'a>(keys: &[SettingDoc], path: &[&'a str]) -> Vec<(Vec<&'a str>, SettingDoc)> {
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

fn edges(schema: &ValueSchema) -> Vec<Edge> {
    let right = |value| Edge { value, is_right: true, is_told: true };
    let wrong = |value| Edge { value, is_right: false, is_told: true };
    let untold = |value| Edge { value, is_right: false, is_told: false };
    match schema {
        ValueSchema::Disabled => vec![right(json!(false))],
        ValueSchema::Boolean => vec![right(json!(false)), right(json!(true)), wrong(json!("true"))],
        ValueSchema::Number(range) | ValueSchema::Percent(range) => vec![
            right(json!(range.start())),
            right(json!(range.end())),
            wrong(json!(i64::from(*range.start()) - 1)),
            wrong(json!(range.end() + 1)),
            wrong(json!(range.start().to_string())),
            wrong(Json::Null),
        ],
        ValueSchema::Duration(range) => {
            let millisecond = std::time::Duration::from_millis(1);
            let written = |duration| json!(duration::format_duration(duration));
            let less = range.start().saturating_sub(millisecond);
            vec![
                right(written(*range.start())),
                right(written(*range.end())),
                if less.is_zero() { wrong(written(less)) } else { untold(written(less)) },
                untold(written(*range.end() + millisecond)),
                wrong(json!(30)),
                wrong(json!("30")),
                wrong(json!("1s1h")),
            ]
        }
        ValueSchema::Size(range) => vec![
            right(json!(range.start())),
            right(json!(range.end())),
            right(json!(size::format_size(*range.end()))),
            wrong(json!(range.end() + 1)),
            untold(json!((range.end() + 1).to_string())),
            wrong(json!("64KB")),
        ],
        ValueSchema::Statuses { least, may_be_empty } => vec![
            right(json!(least)),
            right(json!(format!("{least}-599"))),
            right(json!([least, " 0500 - 599 "])),
            wrong(json!(least - 1)),
            wrong(json!([600])),
            wrong(json!(format!("{}-599", least - 1))),
            untold(json!("599-500")),
            if *may_be_empty { right(json!([])) } else { wrong(json!([])) },
        ],
        ValueSchema::String(text) => text
            .longest
            .into_iter()
            .flat_map(|most| [right(json!("x".repeat(most))), wrong(json!("x".repeat(most + 1)))])
            .chain([wrong(Json::Null)])
            .collect(),
        ValueSchema::Enum(words) => {
            words().into_iter().map(|word| right(json!(word))).chain([wrong(json!("wrod"))]).collect()
        }
        // Each schema's mistakes, where they are no other's right.
        ValueSchema::OneOf(schemas) => {
            let all: Vec<Edge> = schemas.iter().flat_map(edges).collect();
            let is_right = |value: &Json| all.iter().any(|edge| edge.is_right && edge.value == *value);
            let rights: Vec<Json> = all.iter().map(|edge| edge.value.clone()).filter(is_right).collect();
            all.into_iter().filter(|edge| edge.is_right || !rights.contains(&edge.value)).collect()
        }
        ValueSchema::Shared(_, schema) => edges(schema),
        ValueSchema::Map(_) | ValueSchema::MapOf { .. } | ValueSchema::List(..) => {
            vec![wrong(json!(7)), wrong(json!({ "unknown": 1 }))]
        }
    }
}

/// `map` with `value` at `path`, and with what must stand beside it.
fn put(mut map: Json, path: &[&str], value: Json) -> Json {
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

/// What a schema allows, mostly.
fn any_value(schema: &ValueSchema) -> BoxedStrategy<Json> {
    let right = match schema {
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
    prop_oneof![200 => right, 1 => proptest::sample::select(odd.to_vec())].boxed()
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

/// What has a pattern that tells nearly all is made from it; of addresses there are some.
fn any_text(text: &StringSchema) -> BoxedStrategy<String> {
    let from = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        proptest::sample::select(texts).boxed()
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
