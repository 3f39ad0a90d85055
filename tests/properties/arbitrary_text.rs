//! The properties of `crates/properties`, with their seeds and with random strings.
//!
//! Random strings are made of pieces of the seeds and of arbitrary characters.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use tunnel_balancer_properties::{ALL, Property};

#[test]
fn every_property_holds_for_its_seeds() {
    let violations: Vec<String> =
        ALL.iter().flat_map(|property| property.seeds.iter().filter_map(|seed| violation(property, seed))).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Returns the violation of a property by `text`, if there is one.
fn violation(property: &Property, text: &str) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| (property.check)(text))).err()?;
    Some(format!("{}: {text:?}: {}", property.name, message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Generates a property and a string of pieces of its seeds and of other characters.
fn text() -> impl Strategy<Value = (Property, String)> {
    prop::sample::select(&ALL[..]).prop_flat_map(|property| {
        let pieces: Vec<&str> =
            property.seeds.iter().flat_map(|seed| seed.split_inclusive(|c: char| !c.is_alphanumeric())).collect();
        let piece = prop_oneof![
            6 => prop::sample::select(pieces).prop_map(str::to_owned),
            2 => r#"[/\\@:.?#%=;,"' \t\r\n\[\]*a-zA-Z0-9-]"#,
            1 => any::<char>().prop_map(String::from),
        ];
        let mutated = prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat());
        (Just(property), prop_oneof![8 => mutated, 1 => any::<String>()])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn every_property_holds_for_mutations_of_its_seeds((property, text) in text()) {
        (property.check)(&text);
    }
}
