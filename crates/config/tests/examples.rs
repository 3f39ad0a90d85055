//! The files in `examples/`.

mod validator;

use std::fs;
use std::path::Path;

use tunnel_balancer_config::parse;
use tunnel_balancer_core::{Server, Service};

#[test]
fn examples_are_valid_and_have_no_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let examples = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = examples.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    assert!(files.len() >= 3, "{files:?}");
    files.push(root.join("services.yaml"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display().to_string();
        let config = parse(&text).unwrap_or_else(|errors| panic!("{}", errors.in_file(&name)));
        validator::check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!config.services.is_empty(), "{name}");
        assert_eq!(config.warnings, [], "{name}");
    }
}

#[test]
fn all_settings_yaml_has_the_defaults_of_the_core() {
    let text = include_str!("../../../examples/all-settings.yaml");
    let servers = ["chat-a.example.com", "chat-b.example.com"].map(|url| Server::new(url.parse().unwrap()));
    let expected = Service::new("chat.example.com", servers.to_vec()).unwrap();
    assert_eq!(parse(text).unwrap().services, [expected]);
}
