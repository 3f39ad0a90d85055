//! The steps of `action.yml`, run as GitHub runs them: with released archives and the API of GitHub
//! on loopback, a script in place of wrangler, and a Git repository.

#![cfg(unix)]

mod github;
mod runner;

use github::GitHub;
use runner::Runner;

const MAP: &str = "services:\n  chat.example.com: [chat-a.example.com, chat-b.example.com]\n";
const CHANGED: &str = "services:\n  chat.example.com: [chat-b.example.com, chat-a.example.com]\n";

#[test]
fn a_pull_request_has_one_comment_that_is_updated() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    runner.pull_request(MAP);
    runner.run().unwrap();
    assert_eq!(github.comments(), [] as [String; 0], "a comment without a difference");

    github.add_comment("another", "<!-- tunnel-balancer [\".\",\"\"] -->\nof another user");
    runner.pull_request(CHANGED);
    let log = runner.run().unwrap();
    assert!(log.contains("installed tunnel-balancer 9.8.7 (x86_64-unknown-linux-musl)\n"), "{log}");
    assert!(log.contains("no errors: services.yaml\n"), "{log}");
    let [_, comment] = &github.comments()[..] else { panic!("{:?}", github.comments()) };
    let expected = "<!-- tunnel-balancer [\".\",\"\"] -->\n## `services.yaml`\n\n### `chat.example.com` changed\n";
    assert!(comment.starts_with(expected) && comment.contains("order of servers"), "{comment}");
    let (_, text) = comment.split_once('\n').unwrap();
    assert_eq!(runner.summary(), text);
    let page = std::fs::read_to_string(runner::root().join("docs/ci.md")).unwrap();
    assert!(page.contains(&format!("```markdown\n{text}```\n")), "docs/ci.md does not show\n{text}");

    runner.pull_request(MAP);
    runner.run().unwrap();
    assert_eq!(github.comments()[1], "<!-- tunnel-balancer [\".\",\"\"] -->\nNo difference.\n");
}

#[test]
fn a_pull_request_without_permission_passes() {
    let github = GitHub::start();
    github.refuse_comments();
    let mut runner = Runner::new(&github, MAP);
    runner.pull_request(CHANGED);
    let log = runner.run().unwrap();
    let warning = "::warning title=Tunnel Balancer::cannot comment on the pull request: POST /repos/";
    assert!(log.contains(warning), "{log}");
    assert!(runner.summary().contains("`chat.example.com` changed"));
}

#[test]
fn errors_are_annotations_of_files_in_the_repository() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    runner.write("sub/one.yaml", "servcies: {}\n");
    runner.write("sub/two.yaml", MAP);
    runner.input("working-directory", "sub");
    runner.input("files", "one.yaml\ntwo.yaml");
    let log = runner.run().unwrap_err();
    assert!(log.contains("::error file=sub/one.yaml,line=1,col=1,endColumn=8,title=unknown-key::"), "{log}");
    runner.input("files", "two.yaml");
    runner.write("sub/wrangler.toml", "name = \"x\"\n");
    let log = runner.run().unwrap_err();
    assert!(
        log.contains("::error title=wrangler::chat.example.com has no route in sub/wrangler.toml%0Ahint: "),
        "{log}"
    );
}

#[test]
fn a_push_is_deployed() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    runner.push(CHANGED);
    runner.run().unwrap();
    assert_eq!(runner.wrangler_calls(), "", "deployed without the input");
    runner.input("deploy", "true");
    let log = runner.run().unwrap_err();
    assert!(log.contains("::error title=Tunnel Balancer::expected the input `api-token`"), "{log}");
    runner.input("api-token", "the token");
    runner.input("wait", "0s");
    let log = runner.run().unwrap();
    assert!(log.contains("chat.example.com changed\n") && log.contains("\nDeployed version v1.\n"), "{log}");
    assert_eq!(runner.wrangler_calls(), "deploy --config wrangler.toml, token: the token, account: unset\n");
    runner.write("fails", "");
    let log = runner.run().unwrap_err();
    let failure =
        "::error title=Tunnel Balancer::wrangler failed: the log has its output%0AX [ERROR] the upload failed%0A";
    assert!(log.contains(failure), "{log}");

    runner.pull_request(CHANGED);
    runner.run().unwrap();
    assert_eq!(runner.wrangler_calls(), "", "a pull request was deployed");
}

#[test]
fn only_an_archive_with_its_checksum_is_installed() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    runner.input("version", "1.2.3");
    let log = runner.run().unwrap_err();
    assert!(log.contains("::cannot download ") && log.contains("/v1.2.3/"), "{log}");
    runner.input("version", "9.8.7; true");
    let log = runner.run().unwrap_err();
    assert!(log.contains("::expected a version such as 0.1.0, found `9.8.7; true`\n"), "{log}");
    runner.input("version", "v9.8.7");
    github.corrupt_archive();
    let log = runner.run().unwrap_err();
    assert!(log.contains("::checksum of tunnel-balancer-9.8.7-x86_64-unknown-linux-musl.tar.gz: expected "), "{log}");
    assert!(!log.contains("installed"), "{log}");
}

#[test]
fn downloads_are_repeated() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    github.fail(2);
    let log = runner.run().unwrap();
    assert_eq!(log.matches(": status 503; again in 500 ms\n").count(), 1, "{log}");
    assert_eq!(log.matches(": status 503; again in 1000 ms\n").count(), 1, "{log}");
    assert!(log.contains("installed tunnel-balancer 9.8.7"), "{log}");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    runner.server_url = format!("http://{closed}");
    let log = runner.run().unwrap_err();
    let url = format!("http://{closed}/owner/repo/releases/latest");
    let expected = format!("::error title=Tunnel Balancer::cannot download {url}: connect ECONNREFUSED");
    assert!(log.lines().last().unwrap().starts_with(&expected), "{log}");
}

#[test]
fn an_invalid_token_is_not_shown() {
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    runner.pull_request(CHANGED);
    runner.input("github-token", "job\nsecret");
    let log = runner.run().unwrap();
    let expected = "cannot comment on the pull request: expected a token in the input `github-token`\n";
    assert!(log.contains(expected) && !log.contains("secret"), "{log}");
}

#[test]
fn a_failure_of_a_script_is_an_annotation() {
    let github = GitHub::start();
    let runner = Runner::new(&github, MAP);
    runner.remove_temp();
    let log = runner.run().unwrap_err();
    let expected = "::error title=Tunnel Balancer::ENOENT: no such file or directory, mkdtemp";
    assert!(log.lines().last().unwrap().starts_with(expected), "{log}");
}

#[test]
fn every_target_of_releases_is_installed() {
    let read = |file: &str| std::fs::read_to_string(runner::root().join(file)).unwrap();
    let released = read(".github/workflows/release.yml");
    let released = released.lines().filter_map(|line| line.trim().strip_prefix("- { target: ")?.split(',').next());
    let script = read("action/install.mjs");
    let installed = script.lines().filter_map(|line| line.strip_prefix("  '")?.split('\'').nth(2));
    let (mut released, mut installed): (Vec<&str>, Vec<&str>) = (released.collect(), installed.collect());
    released.sort_unstable();
    installed.sort_unstable();
    assert_eq!(installed, released);
    assert!(installed.len() >= 5, "{installed:?}");
}

#[test]
fn inputs_are_never_a_part_of_a_script() {
    for step in runner::steps() {
        assert!(!step.run.contains("${{"), "{}: {}", step.name, step.run);
        assert!(
            step.run.starts_with("node \"$GITHUB_ACTION_PATH/action/") && step.run.ends_with(".mjs\""),
            "{}",
            step.run
        );
    }
    let github = GitHub::start();
    let mut runner = Runner::new(&github, MAP);
    let injected = "$(touch injected).yaml\n;touch injected;";
    runner.input("files", injected);
    let log = runner.run().unwrap_err();
    let expected = "::error title=Tunnel Balancer::error: cannot read $(touch injected).yaml: ";
    assert!(log.contains(expected), "{log}");
    assert!(!runner.exists("injected"), "{log}");
}
