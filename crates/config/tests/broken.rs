//! Broken files and everything that is said about them, compared whole.
//!
//! The cases are in `tests/broken/*.txt`, one topic per file. Each begins with a line `=== what it is about`, then comes the
//! YAML, a line `>>>` and the answer. After a wanted change of wording `UPDATE=1 cargo test -p tunnel-balancer-config`
//! writes the new answers; what they became is then read in the diff.

use std::fs;
use std::path::{Path, PathBuf};

use tunnel_balancer_config::{Code, Errors, MAX_BYTES, parse};

#[test]
fn broken_files_are_answered_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = String::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let said = with_answers(&written);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, said).unwrap();
        } else if said != written {
            wrong += &format!("{}\n{}", file.display(), first_difference(&written, &said));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The text of a file of cases with the answers of now.
fn with_answers(cases: &str) -> String {
    let mut said = String::new();
    for case in cases.strip_prefix("=== ").unwrap().split("\n=== ") {
        let (title, rest) = case.split_once('\n').unwrap();
        let (yaml, _) = rest.split_once(">>>\n").unwrap();
        let answer = match parse(yaml) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.in_file("services.yaml").to_string(),
        };
        said += &format!("=== {title}\n{yaml}>>>\n{answer}\n");
    }
    said
}

fn first_difference(written: &str, said: &str) -> String {
    let mut lines = written.lines().zip(said.lines()).enumerate();
    match lines.find(|(_, (written, said))| written != said) {
        Some((index, (written, said))) => format!("line {}\n  written: {written}\n  said:    {said}\n", index + 1),
        None => "not the same number of lines\n".to_owned(),
    }
}

#[test]
fn more_servers_than_a_service_can_have() {
    let servers: Vec<String> = (0..65).map(|i| format!("a-{i}.example.com")).collect();
    let errors = parse(&format!("services:\n  a.example.com: [{}]", servers.join(", "))).unwrap_err();
    let expected =
        "services.yaml:2:18: error[servers]: a service has 1 to 64 servers, not 65 at services.\"a.example.com\"";
    assert_eq!(errors.in_file("services.yaml").to_string(), expected);
}

#[test]
fn a_text_that_is_too_large_is_not_read() {
    let errors = parse(&"#".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(errors.to_string(), "1:1: error[too-large]: 262145 bytes are more than 262144");
    assert_eq!(errors.diagnostics()[0].code, Code::TooLarge);
    let full = "services: { a.example.com: a-1.example.com } ";
    assert!(parse(&format!("{full}{}", "#".repeat(MAX_BYTES - full.len()))).is_ok());
}

#[test]
fn of_very_many_mistakes_the_first_are_told_and_the_others_counted() {
    let mut yaml = "services:\n  a.example.com:\n    servers: a-1.example.com\n".to_owned();
    (0..80).for_each(|i| yaml += &format!("    lost_{i}: 1\n"));
    let errors = parse(&yaml).unwrap_err();
    assert_eq!((errors.diagnostics().len(), errors.more()), (Errors::MAX_DIAGNOSTICS, 30));
    assert_eq!(errors.diagnostics()[49].line, 53);
    assert!(errors.to_string().ends_with("\nand 30 more"));
}

#[test]
fn programs_get_the_parts_of_a_diagnostic() {
    let errors = parse("services: { a.example.com: { servers: [a-1.example.com, { url: 5 }] } }").unwrap_err();
    let [diagnostic] = errors.diagnostics() else { panic!("{errors}") };
    assert_eq!((diagnostic.line, diagnostic.column), (1, 64));
    assert_eq!(diagnostic.path, r#"services."a.example.com".servers[1].url"#);
    assert_eq!(diagnostic.message, "expected a hostname or URL, found the number 5");
    assert_eq!((diagnostic.hint.as_deref(), diagnostic.code.as_str()), (None, "wrong-type"));
}
