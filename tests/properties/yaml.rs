//! Arbitrary files: a configuration or diagnostics with correct positions, and never a panic.

use proptest::prelude::*;
use tunnel_balancer_config::parse;
use tunnel_balancer_properties::{diagnostics, yaml};

/// Valid files with every kind of value, which are damaged.
const FILES: [&str; 3] = [
    include_str!("../../examples/all-settings.yaml"),
    include_str!("../../examples/stateful-application.yaml"),
    include_str!("../../examples/scenarios/all-keys.yaml"),
];

/// Generates a string that has a meaning in YAML or in this format.
fn piece() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "services",
        "duration",
        "requests",
        "GET",
        "timeline",
        "latency",
        "up",
        "530",
        "defaults",
        "servers",
        "url",
        "name",
        "policy",
        "failover",
        "hash",
        "header",
        "X-User",
        "weight",
        "backup",
        "enabled",
        "failback",
        "after",
        "affinity",
        "cookie",
        "key",
        "\"${KEY}\"",
        "${KEY}",
        "statuses",
        "budget",
        "health_check",
        "path",
        "/",
        "interval",
        "30s",
        "1h30m",
        "timeout",
        "expect_status",
        "200-299",
        "retry",
        "attempts",
        "3",
        "0",
        "-1",
        "1.5",
        "max_buffered_body",
        "64KiB",
        "false",
        "true",
        "null",
        "~",
        "a.example.com",
        "A.example.com:443",
        "b-1.example.com",
        "https://c.example.com/x",
        "user@host",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "\n  - ",
        "- ",
        "? ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|",
        ">-",
        "&a ",
        "*a",
        "!t ",
        "!!int ",
        "<<",
        "#",
        " # ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        " ",
        "\r\n",
        "\\",
        "\u{feff}",
        "\u{0}",
        "ü",
        "\u{85}",
        "\u{2028}",
    ];
    let piece = proptest::sample::select(PIECES).prop_map(str::to_owned);
    prop_oneof![8 => piece, 1 => any::<char>().prop_map(String::from)]
}

/// Generates a valid file in which some characters are removed or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let length = FILES.map(str::len).into_iter().max().unwrap();
    let damages = proptest::collection::vec((0..length, 0..20_usize, piece()), 1..6);
    (proptest::sample::select(&FILES), damages).prop_map(|(file, damages)| {
        let mut text = file.to_owned();
        for (start, length, piece) in damages {
            let start = text.floor_char_boundary(start % text.len().max(1));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        text
    })
}

/// Generates a value of `health_check` with unknown keys at any depth.
fn with_unknown_keys() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![Just("x".to_owned()), Just("'ü'".to_owned()), Just("\"é\\n\"".to_owned()), Just("7".to_owned())];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::vec(inner, 0..4).prop_map(|values| {
                let entries: Vec<String> =
                    values.iter().enumerate().map(|(i, value)| format!("ö{i}:  {value}")).collect();
                format!("{{{}}}", entries.join(" ,\n "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_fragments_of_yaml_are_parsed_or_diagnosed(pieces in proptest::collection::vec(piece(), 0..60)) {
        yaml(&pieces.concat());
    }

    #[test]
    fn a_damaged_file_is_parsed_or_diagnosed(text in damaged()) {
        yaml(&text);
    }

    #[test]
    fn unknown_keys_are_reported_at_their_position(value in with_unknown_keys()) {
        let text = format!(
            "services:\n  a.example.com:\n    servers: a-1.example.com\n    lost: 1\n    health_check: {value}\n"
        );
        let errors = parse(&text).unwrap_err();
        diagnostics(&text, &errors);
        for diagnostic in errors.diagnostics() {
            let key = diagnostic.message.strip_prefix("unknown key `").and_then(|rest| rest.strip_suffix('`'));
            let Some(key) = key else { continue };
            let line = text.lines().nth(diagnostic.line - 1).unwrap();
            let here: String = line.chars().skip(diagnostic.column - 1).collect();
            prop_assert!(here.starts_with(key), "{diagnostic}\n{text}");
        }
        let expected = "4:5: error[unknown-key]: unknown key `lost` at services.\"a.example.com\"";
        prop_assert!(errors.to_string().contains(expected));
    }
}
