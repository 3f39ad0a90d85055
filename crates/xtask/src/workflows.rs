//! Tests of the workflows of GitHub: they run what the suite and a contributor run.

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;

use crate::cli::{self, Invocation};
#[cfg(unix)]
use crate::release::Archive;
use crate::step::Step;
use crate::workspace::Workspace;

/// Returns the files with a suffix in a folder of the repository, with their contents.
fn files(folder: &str, suffix: &str) -> Vec<(String, String)> {
    let workspace = Workspace::locate().unwrap();
    let entries = fs::read_dir(workspace.root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter(|name| name.ends_with(suffix))
        .map(|name| format!("{folder}/{name}"))
        .map(|name| (name.clone(), workspace.read(&name).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn workflows() -> Vec<(String, String)> {
    files(".github/workflows", ".yml")
}

/// Returns the value of each line with a key, such as `run`.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).collect()
}

/// Returns the commands of this program that a file names, up to the end of the line or of the
/// code.
fn commands(text: &str) -> impl Iterator<Item = Vec<String>> {
    let ends = ["`", "#", "&&", "  ", ")", ";", "\"${"];
    let rests = text.lines().flat_map(|line| line.split("cargo xtask").skip(1));
    rests.map(move |rest| {
        let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
        let words = rest[..end].split_whitespace().map(|word| word.trim_matches('"'));
        words.take_while(|word| !word.starts_with('[')).map(|word| word.replace("X.Y.Z", "1.2.3")).collect()
    })
}

#[test]
fn all_commands_in_workflows_and_documents_exist() {
    let workspace = Workspace::locate().unwrap();
    let mut texts = workflows();
    texts.extend(files("docs", ".md"));
    texts.extend(files("tools", ".sh"));
    for name in [".ci/run", "ARCHITECTURE.md", "CONTRIBUTING.md", "Dockerfile", "README.md"] {
        texts.push((name.to_owned(), workspace.read(name).unwrap()));
    }
    let mut count = 0;
    for (name, text) in texts {
        for command in commands(&text) {
            // A sentence may name a command without its arguments.
            let help = (command.len() == 1).then(|| "--help".to_owned());
            let parsed = cli::parse(command.iter().cloned().chain(help));
            assert!(parsed.is_ok(), "{name}: cargo xtask {}: {}", command.join(" "), parsed.unwrap_err());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_workflow_runs_the_default_suite() {
    let workspace = Workspace::locate().unwrap();
    assert!(values(&workspace.read(".github/workflows/ci.yml").unwrap(), "run").contains(&".ci/run"));
    let invocations: Vec<Invocation> =
        commands(&workspace.read(".ci/run").unwrap()).map(|command| cli::parse(command).unwrap()).collect();
    let steps = Step::ALL.into_iter().filter(|step| !step.opt_in()).collect();
    assert_eq!(invocations, [Invocation::Test { steps, filter: Vec::new() }]);
}

#[test]
fn steps_run_programs_of_the_repository_without_input_of_others() {
    let workspace = Workspace::locate().unwrap();
    for (name, text) in workflows() {
        for command in values(&text, "run") {
            assert!(!command.contains("${{") && command != "|", "{name}: {command}: pass it by `env`");
            let program = command.split_whitespace().next().unwrap();
            let is_own = ["tools/", ".ci/"].iter().any(|folder| program.starts_with(folder));
            assert!(is_own || ["cargo", "rustup", "sudo"].contains(&program), "{name}: {command}");
            assert!(!is_own || workspace.root().join(program).is_file(), "{name}: missing {program}");
        }
    }
}

#[test]
fn actions_are_pinned_and_permissions_are_given_for_each_job() {
    for (name, text) in workflows() {
        for action in values(&text, "uses") {
            let hash = action.split_once('@').map(|(_, version)| version.split(' ').next().unwrap());
            let is_hash = |hash: &str| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(action.starts_with("./") || hash.is_some_and(is_hash), "{name}: {action}");
        }
        let top = text.lines().find_map(|line| line.strip_prefix("permissions:")).map(str::trim);
        let reads = text.contains("\npermissions:\n  contents: read\n");
        assert!(top == Some("{}") || reads, "{name}: least permissions for all jobs");
    }
}

#[test]
fn all_targets_are_published() {
    let workspace = Workspace::locate().unwrap();
    let workflow = workspace.read(".github/workflows/release.yml").unwrap();
    let built = workflow.lines().filter_map(|line| line.trim().strip_prefix("- { target: ")?.split(',').next());
    let script = workspace.read("tools/publish-release.sh").unwrap();
    let published = script.lines().find_map(|line| line.strip_prefix("for target in ")?.strip_suffix("; do"));
    assert_eq!(built.collect::<Vec<_>>().join(" "), published.unwrap());
}

/// Runs a script of `tools`, with the lines of `programs` as programs on the PATH, in a folder that
/// has a changelog.
#[cfg(unix)]
fn publish(script: &str, tag: &str, archives: &Path, programs: &[(&str, &str)]) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt as _;

    for (name, line) in programs {
        let program = archives.join(name);
        fs::write(&program, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let clone = archives.join("clone");
    fs::create_dir_all(&clone).unwrap();
    let changelog = "## Unreleased\n\n## 1.2.3 (2026-02-03)\n\n- New.\n\n## 1.2.2 (2026-01-01)\n\n- Old.\n";
    fs::write(clone.join("CHANGELOG.md"), changelog).unwrap();
    let script = Workspace::locate().unwrap().root().join("tools").join(script);
    let path = format!("{}:{}", archives.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(script);
    command.current_dir(&clone).arg(archives).env("PATH", path);
    let output = command.env("GITHUB_REF_NAME", tag).env("GITHUB_REPOSITORY", "owner/name").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[cfg(unix)]
#[test]
fn a_release_has_all_archives_their_checksums_and_the_changes() {
    let directory = tempfile::tempdir().unwrap();
    let archives = directory.path();
    let script = Workspace::locate().unwrap().read("tools/publish-release.sh").unwrap();
    let targets = script.lines().find_map(|line| line.strip_prefix("for target in ")?.strip_suffix("; do"));
    let names: Vec<_> =
        targets.unwrap().split(' ').map(|target| format!("tunnel-balancer-1.2.3-{target}.tar.gz")).collect();
    for name in &names {
        fs::write(archives.join(name), name).unwrap();
    }
    let gh = [("gh", r#"printf '%s\n' "$@""#)];
    let output = publish("publish-release.sh", "v1.2.3", archives, &gh).unwrap();
    assert!(output.contains("\nrelease\ncreate\nv1.2.3\n--repo\nowner/name\n--verify-tag\n"), "{output}");
    assert!(names.iter().all(|name| output.contains(&format!("\n{name}\n"))), "{output}");
    assert_eq!(fs::read_to_string(archives.join("notes.md")).unwrap(), "\n- New.\n\n");
    assert_eq!(fs::read_to_string(archives.join("SHA256SUMS")).unwrap().lines().count(), names.len());
    let other = publish("publish-release.sh", "v1.2.4", archives, &gh).unwrap_err();
    assert!(other.contains("missing tunnel-balancer-1.2.4-"), "{other}");
}

#[cfg(unix)]
#[test]
fn npm_packages_have_the_programs_of_the_archives_and_platforms_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let archives = directory.path().join("archives");
    for (target, program) in [("x86_64-pc-windows-msvc", "tunnel-balancer.exe"), ("a-b", "tunnel-balancer")] {
        let name = format!("tunnel-balancer-1.2.3-{target}");
        let mut archive = Archive::new(&name);
        archive.add_program(program, target);
        fs::create_dir_all(&archives).unwrap();
        archive.write(&archives.join(format!("{name}.tar.gz")), 1).unwrap();
    }
    // The packages that `cargo xtask npm` makes, with a program of npm that prints its folder.
    let make = "for argument; do echo $argument; done\n\
                mkdir -p target/npm-packages/node_modules && cd target/npm-packages/node_modules\n\
                mkdir create-tunnel-balancer tunnel-balancer tunnel-balancer-linux-x64";
    let programs = [("cargo", make), ("npm", "echo $(basename $PWD): $*")];
    let output = publish("publish-npm.sh", "v1.2.3", &archives, &programs).unwrap();
    let program = |target: &str, name: &str| {
        format!("--program\n{target}={}/tunnel-balancer-1.2.3-{target}/{name}\n", archives.display())
    };
    let made = program("a-b", "tunnel-balancer") + &program("x86_64-pc-windows-msvc", "tunnel-balancer.exe");
    let published = ["tunnel-balancer-linux-x64", "tunnel-balancer", "create-tunnel-balancer"].map(|name| {
        let repository = "repository.type=git repository.url=git+https://github.com/owner/name.git";
        format!("{name}: pkg set {repository}\n{name}: publish --provenance --access public\n")
    });
    assert_eq!(output, format!("xtask\nnpm\n{made}{}", published.concat()));
}
