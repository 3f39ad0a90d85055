//! Commands that change files: they add what is missing, keep everything else byte for byte, and
//! change nothing when they run again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SERVICES: &str = "services:
  chat.example.com: [chat-a.example.com, chat-b.example.com]
  git.example.com: [git-a.example.com, git-b.example.com]
";

const TUNNEL: &str = "# Keep me.
tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef

ingress:
  - hostname: chat.example.com
    service: https://localhost:8443
    originRequest: { noTLSVerify: true }
  - hostname: ssh.example.com
    service: ssh://localhost:22
  # Everything else.
  - service: http_status:404
";

const HOME: &str = "home=*-a.example.com";
const OFFICE: &str = "office=*-b.example.com";

#[test]
fn missing_rules_are_added_once() {
    let directory = directory("into");
    let file = write(&directory, "config.yml", TUNNEL);
    let arguments = ["generate", "cloudflared", "--tunnel", HOME, "--into", "config.yml"];
    let options = ["--service-url", "git.example.com=http://nas:3000"];
    let report = stdout(run(&directory, &[&arguments[..], &options].concat()));
    assert_eq!(
        report,
        "config.yml: added chat-a.example.com: https://localhost:8443\n\
         config.yml: added git-a.example.com: http://nas:3000\n\
         Next: restart cloudflared, and create the DNS records (`tunnel-balancer generate dns`).\n"
    );
    let added = "  # chat.example.com, server chat-a
  - hostname: chat-a.example.com
    service: https://localhost:8443
    originRequest: { noTLSVerify: true }
  # git.example.com, server git-a
  - hostname: git-a.example.com
    service: http://nas:3000
";
    let expected = TUNNEL.replace("  # Everything", &format!("{added}  # Everything"));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(stdout(run(&directory, &[&arguments[..], &options].concat())), "config.yml: nothing to add\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    let check = ["check", "--cloudflared", "config.yml", "--tunnel", HOME];
    assert!(stdout(run(&directory, &check)).contains("complete: 2 hostnames served"));
}

#[test]
fn a_file_that_cannot_be_completed_is_kept() {
    let directory = directory("kept");
    let arguments = ["generate", "cloudflared", "--tunnel", HOME, "--into", "config.yml"];
    for text in [
        "ingress: [{ service: http_status:404 }]\n",
        "tunnel: x\n",
        "ingress: {",
        "ingress:\n- hostname: a.example.com\n  service: hello_world\n",
    ] {
        let file = write(&directory, "config.yml", text);
        let output = run(&directory, &arguments);
        assert_eq!(output.status.code(), Some(2), "{text}: {output:?}");
        assert_eq!(fs::read_to_string(file).unwrap(), text);
    }
    let rejected = TUNNEL
        .replace("  # Everything", "  - { hostname: git-a.example.com, service: http_status:503 }\n  # Everything");
    write(&directory, "config.yml", &rejected);
    let output = run(&directory, &arguments);
    let skipped = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        skipped.contains("skipped: git-a.example.com (config.yml: line 10 is a rule for another service)"),
        "{skipped}"
    );
}

#[test]
fn each_tunnel_has_a_file_of_its_own() {
    let directory = directory("several");
    let tunnels = ["generate", "cloudflared", "--tunnel", HOME, "--tunnel", OFFICE];
    for options in [&[][..], &["--into", "config.yml"]] {
        let output = run(&directory, &[&tunnels[..], options].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(
            output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("--output-dir"),
            "{output:?}"
        );
    }
    let arguments = [&tunnels[..], &["--output-dir", "tunnels"]].concat();
    let report = stdout(run(&directory, &arguments));
    assert!(report.contains("home.yml: created\n") && report.contains("office.yml: created\n"), "{report}");
    let read = |name: &str| fs::read_to_string(directory.join("tunnels").join(name)).unwrap();
    let (home, office) = (read("home.yml"), read("office.yml"));
    assert!(home.contains("hostname: chat-a.example.com") && !home.contains("-b.example.com"), "{home}");
    assert!(office.contains("hostname: chat-b.example.com") && !office.contains("-a.example.com"), "{office}");
    let again = stdout(run(&directory, &arguments));
    assert_eq!(again.matches("nothing to add").count(), 2, "{again}");
    assert_eq!((read("home.yml"), read("office.yml")), (home, office));
}

#[test]
fn an_environment_has_routes_of_its_own() {
    let directory = directory("environment");
    let file = write(&directory, "wrangler.toml", "name = \"balancer\"\n");
    write(&directory, "staging.yaml", "services:\n  chat.staging.example.com: chat-a.example.com\n");
    stdout(run(&directory, &["generate", "wrangler", "--write"]));
    let top = fs::read_to_string(&file).unwrap();
    let check = ["check", "staging.yaml", "--wrangler", "wrangler.toml", "--env", "staging"];
    let missing = run(&directory, &check);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    let error = "error: wrangler.toml has no environment `staging`\n  hint: add its routes with";
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with(error), "{missing:?}");

    write(&directory, "wrangler.toml", &format!("{top}\n[env.staging]\nworkers_dev = false\n"));
    let inherited = run(&directory, &check);
    assert_eq!(inherited.status.code(), Some(1), "{inherited:?}");
    let expected = "error: the environment staging has no routes in wrangler.toml, so it takes over those";
    assert!(String::from_utf8_lossy(&inherited.stdout).contains(expected), "{inherited:?}");

    let generate = ["generate", "wrangler", "-f", "staging.yaml", "--env", "staging", "--write"];
    assert_eq!(stdout(run(&directory, &generate)), "wrangler.toml: added the route chat.staging.example.com\n");
    let both = fs::read_to_string(&file).unwrap();
    assert!(both.starts_with(&top) && both.contains("[[env.staging.routes]]"), "{both}");
    assert!(stdout(run(&directory, &check)).contains("complete: 1 service routed"));
    assert!(stdout(run(&directory, &["check", "--wrangler", "wrangler.toml"])).contains("complete: 2 services routed"));
    assert_eq!(stdout(run(&directory, &generate)), "wrangler.toml: nothing to change\n");
    let generate_top = run(&directory, &["generate", "wrangler", "--write"]);
    assert_eq!(stdout(generate_top), "wrangler.toml: nothing to change\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), both);
}

#[test]
fn routes_are_in_one_marked_block() {
    let directory = directory("routes");
    let text = "# Mine.\nname = \"balancer\"  # keep\n\n[vars]\nA = \"b\"\n";
    let file = write(&directory, "wrangler.toml", text);
    let report = stdout(run(&directory, &["generate", "wrangler", "--write"]));
    assert_eq!(
        report,
        "wrangler.toml: added the route chat.example.com\nwrangler.toml: added the route git.example.com\n"
    );
    let once = fs::read_to_string(&file).unwrap();
    assert!(once.starts_with(text), "{once}");
    assert_eq!(stdout(run(&directory, &["generate", "wrangler", "--write"])), "wrangler.toml: nothing to change\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), once);
    let check = stdout(run(&directory, &["check", "--wrangler", "wrangler.toml"]));
    assert!(check.contains("complete: 2 services routed"), "{check}");

    // The zone of the block is kept.
    stdout(run(&directory, &["generate", "wrangler", "--zone", "example.com", "--write=wrangler.toml"]));
    let routed = fs::read_to_string(&file).unwrap();
    assert!(routed.contains("zone_name = \"example.com\"") && !routed.contains("custom_domain = true"), "{routed}");
    assert_eq!(stdout(run(&directory, &["generate", "wrangler", "--write"])), "wrangler.toml: nothing to change\n");

    write(&directory, "services.yaml", "services:\n  chat.example.com: chat-a.example.com\n");
    let stale = run(&directory, &["check", "--wrangler", "wrangler.toml"]);
    assert!(stdout(stale).contains("note: the route `git.example.com/*` is for no service"));
    let report = stdout(run(&directory, &["generate", "wrangler", "--write"]));
    assert_eq!(report, "wrangler.toml: removed the route git.example.com/*\n");

    write(&directory, "wrangler.toml", &routed.replace("chat.example.com", "other.example.com"));
    let missing = run(&directory, &["check", "--wrangler", "wrangler.toml", "--format", "github"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let found = String::from_utf8_lossy(&missing.stdout).into_owned();
    let hint = "%0Ahint: write the routes with `tunnel-balancer generate wrangler --write`";
    let expected = format!("::error title=wrangler::chat.example.com has no route in wrangler.toml{hint}\n");
    assert!(found.starts_with(&expected), "{found}");
}

#[test]
fn a_block_with_other_content_is_kept() {
    let directory = directory("foreign");
    let block = stdout(run(&directory, &["generate", "wrangler", "--zone", "example.com"]));
    for foreign in ["# Mine.", "[vars]\nA = \"b\"", "enabled = false", "custom_domain = true # mine"] {
        let text = format!("name = \"x\"\n{}", block.replace("# END", &format!("{foreign}\n# END")));
        let line = 2 + block.lines().position(|line| line.starts_with("# END")).unwrap();
        let file = write(&directory, "wrangler.toml", &text);
        let output = run(&directory, &["generate", "wrangler", "--write"]);
        assert_eq!(output.status.code(), Some(2), "{foreign}: {output:?}");
        let expected = format!("wrangler.toml:{line}: error: the marked block has a line that is not generated\n");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(&expected), "{foreign}: {output:?}");
        assert_eq!(fs::read_to_string(file).unwrap(), text);
    }
}

#[test]
fn routes_that_are_appended_by_hand_are_found() {
    let directory = directory("appended");
    let block = stdout(run(&directory, &["generate", "wrangler"]));
    write(&directory, "wrangler.toml", &format!("name = \"x\"\n\n{block}\n{block}"));
    let output = run(&directory, &["check", "--wrangler", "wrangler.toml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("duplicate route `chat.example.com`: also in line"),
        "{output:?}"
    );
    let output = run(&directory, &["generate", "wrangler", "--write"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn more_custom_domains_than_a_zone_can_have_are_a_warning() {
    let directory = directory("many");
    let services: String = (0..101).map(|it| format!("  a{it}.example.com: a.example.net\n")).collect();
    write(&directory, "services.yaml", &format!("services:\n{services}"));
    write(&directory, "wrangler.toml", "name = \"x\"\n");
    let output = run(&directory, &["generate", "wrangler", "--write"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("warning: example.com has 101 custom domains"),
        "{output:?}"
    );
    let output = run(&directory, &["check", "--wrangler", "wrangler.toml", "--deny-warnings"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("[too-many-custom-domains]"), "{output:?}");
}

#[test]
fn a_folder_for_npm_is_written_as_a_whole_or_not_at_all() {
    let directory = directory("npm");
    fs::create_dir_all(directory.join("it's new/.gitignore")).unwrap();
    let options = ["--host", "chat.example.com", "--server", "chat-a.example.com", "--force"];
    let init = |folder: &str| run(&directory, &[&["init", "--npm", folder][..], &options].concat());
    let error = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(error(init("it's new")), "error: cannot edit it's new/.gitignore: it is a directory\n");
    let files = fs::read_dir(directory.join("it's new")).unwrap();
    assert_eq!(files.map(|file| file.unwrap().file_name()).collect::<Vec<_>>(), [".gitignore"]);
    let expected = "error: services.yaml is not a directory\n  hint: name a new folder, or one that exists\n";
    assert_eq!(error(init("services.yaml")), expected);
    assert_eq!(fs::read_to_string(directory.join("services.yaml")).unwrap(), SERVICES);

    fs::remove_dir(directory.join("it's new/.gitignore")).unwrap();
    let report = stdout(init("it's new"));
    assert!(report.contains("\n  cd 'it'\\''s new'\n"), "{report}");
    // The record of the last deployment is that of one machine.
    let ignored = fs::read_to_string(directory.join("it's new/.gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "/.tunnel-balancer/"), "{ignored}");
}

/// A pipe without a writer would block a read.
#[cfg(unix)]
#[test]
fn special_files_are_kept() {
    use std::os::unix::fs::FileTypeExt;
    let directory = directory("special");
    let pipe = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for arguments in [["cloudflared", "--into=pipe"], ["wrangler", "--write=pipe"]] {
        let output = run(&directory, &[&["generate"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.ends_with("error: cannot edit pipe: it is not a regular file\n"), "{error}");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
    for arguments in [["cloudflared", "--into=-"], ["wrangler", "--write=-"]] {
        let output = run(&directory, &[&["generate"][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!directory.join("-").exists());
    }
}

#[test]
fn inputs_are_not_replaced() {
    let directory = directory("inputs");
    write(
        &directory,
        "scenario.yaml",
        &format!("{SERVICES}service: chat.example.com\nduration: 1m\nrequests: {{ GET: 1 }}\n"),
    );
    let table: [&[&str]; 5] = [
        &["simulate", "--svg", "services.yaml"],
        &["simulate", "-f", "services.yaml", "--svg", "./services.yaml"],
        &["simulate", "scenario.yaml", "--svg", "scenario.yaml"],
        &["simulate", "scenario.yaml", "-f", "services.yaml", "--svg", "services.yaml"],
        // Without the check, the missing certificate is the error.
        &["serve", "--tls-cert", "none", "--tls-key", "none", "--access-log", "services.yaml"],
    ];
    for arguments in table {
        let output = run(&directory, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(" an input\n"), "{arguments:?}: {output:?}");
        assert_eq!(fs::read_to_string(directory.join("services.yaml")).unwrap(), SERVICES);
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tunnel-balancer")).current_dir(directory).args(arguments).output().unwrap()
}

/// Returns the output of a command that succeeds.
fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a directory with a services.yaml.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("in_place").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    write(&directory, "services.yaml", SERVICES);
    directory
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file
}
