//! The properties that a fuzzer looks into as well (`fuzz`), with the cases they start from and
//! with texts that look like them: pieces of seeds put together, and any characters at all.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use tunnel_balancer_properties::{ALL, Property};

#[test]
fn every_property_holds_for_its_seeds() {
    let broken: Vec<String> =
        ALL.iter().flat_map(|property| property.seeds.iter().filter_map(|seed| broken(property, seed))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What a property says against a text.
fn broken(property: &Property, text: &str) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| (property.check)(text))).err()?;
    Some(format!("{}: {text:?}: {}", property.name, said(&*panic)))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// A property, and a text made of pieces of its seeds and of other characters.
fn text() -> impl Strategy<Value = (Property, String)> {
    prop::sample::select(&ALL[..]).prop_flat_map(|property| {
        let pieces: Vec<&str> =
            property.seeds.iter().flat_map(|seed| seed.split_inclusive(|c: char| !c.is_alphanumeric())).collect();
        let piece = prop_oneof![
            6 => prop::sample::select(pieces).prop_map(str::to_owned),
            2 => r#"[/\\@:.?#%=;,"' \t\r\n\[\]*a-zA-Z0-9-]"#,
            1 => any::<char>().prop_map(String::from),
        ];
        let made_up = prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat());
        (Just(property), prop_oneof![8 => made_up, 1 => any::<String>()])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn every_property_holds_for_texts_like_its_seeds((property, text) in text()) {
        (property.check)(&text);
    }
}
