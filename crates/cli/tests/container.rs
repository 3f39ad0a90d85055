//! The commands of the container image and of compose.yaml exist, with their options.

use std::path::Path;
use std::process::Command;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// Parses a command line without running it.
fn check(place: &str, arguments: &[String]) {
    let output = Command::new(env!("CARGO_BIN_EXE_tunnel-balancer")).args(arguments).arg("--help").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: {}: {error}", arguments.join(" "));
}

/// Parses `["a", "b"]`.
fn array(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn commands_of_the_image_exist() {
    let text = read("Dockerfile");
    let value = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    assert_eq!(value("ENTRYPOINT "), r#"["/tunnel-balancer"]"#);
    check("CMD", &array(value("CMD ")));
    let (_, healthcheck) = value("HEALTHCHECK ").split_once(" CMD ").unwrap();
    let healthcheck = array(healthcheck);
    assert_eq!(healthcheck[0], "/tunnel-balancer");
    check("HEALTHCHECK", &healthcheck[1..]);
    assert!(value("CMD ").contains(healthcheck[2].strip_prefix("http://").unwrap()), "the admin listener is checked");
}

#[test]
fn commands_of_compose_exist() {
    let text = read("compose.yaml");
    let commands = text.split("    command:\n").skip(1).map(|rest| {
        let items = rest.lines().map_while(|line| line.strip_prefix("      - "));
        items.map(|item| item.replace("${WORKER_URL:-", "").trim_end_matches('}').to_owned()).collect::<Vec<_>>()
    });
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.iter().map(|command| command[0].as_str()).collect::<Vec<_>>(), ["serve", "monitor"]);
    commands.iter().for_each(|command| check("compose.yaml", command));
}
