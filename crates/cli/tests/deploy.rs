//! `tunnel-balancer deploy`, with a script in place of wrangler and a proxy in place of the Worker.

#![cfg(unix)]

#[allow(dead_code, reason = "other tests use the rest")]
mod running;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use running::{PROGRAM, Proxy, server};

const MAP: &str = "services:\n  chat.example.com: [chat-a.example.com, chat-b.example.com]\n";
const CONFIG: &str = "name = \"balancer\"\nroutes = [{ pattern = \"chat.example.com\", custom_domain = true }]\n";

/// Records its calls, and keeps what it deploys in the folder. As the real one, it ends with the
/// code 0 after a signal.
const WRANGLER: &str = r#"#!/bin/sh
cd "$(dirname "$0")/../.."
printf '%s|' "$@" >>calls
echo >>calls
if [ "$1" = "$(cat hangs 2>/dev/null)" ]; then
    trap 'echo stopped >>calls; exit 0' TERM INT
    echo hangs >>calls
    while :; do sleep 0.05; done
fi
case "$1 $2" in
"secret list")
    [ ! -e unknown ] || { echo 'X [ERROR] Worker "balancer" not found.' >&2; exit 1; }
    echo '[WARNING] a newer version is available'
    cat secrets 2>/dev/null || { echo 'set CLOUDFLARE_API_TOKEN' >&2; exit 1; } ;;
"deployments status")
    [ -e version ] || { echo 'This Worker does not exist on your account. [code: 10007]' >&2; exit 1; }
    printf '{ "versions": [{ "version_id": "%s", "percentage": 100 }] }' "$(cat version)" ;;
*)
    [ ! -e fails ] || { echo 'upload failed' >&2; exit 7; }
    echo "Total Upload: 900.00 KiB / gzip: 320.00 KiB"
    case "$*" in *--dry-run*) exit ;; esac
    version="v$(($(cat version 2>/dev/null | tr -d v || true) + 1))"
    echo "$version" >version
    echo "Current Version ID: $version"
    printf '{"type":"deploy","version_id":"%s"}\n' "$version" >>"$WRANGLER_OUTPUT_FILE_PATH" ;;
esac
"#;

/// The call that reads the deployed version.
const STATUS: &str = "deployments status --json --config wrangler.toml";

/// A folder with a map, whose name has spaces.
struct Folder {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = Self { path: directory.path().join("my balancer"), _directory: directory };
        let program = folder.path.join("node_modules/.bin/wrangler");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, WRANGLER).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        folder.write("services.yaml", MAP);
        folder.write("wrangler.toml", CONFIG);
        folder.write("secrets", "[]");
        folder
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
    }

    /// Returns the calls of wrangler since the last time.
    fn calls(&self) -> Vec<String> {
        let file = self.path.join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls.lines().map(|line| line.trim_end_matches('|').replace('|', " ")).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("deploy").args(arguments).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    /// Runs the command, which ends with this code. Returns stdout and stderr.
    fn deploy(&self, arguments: &[&str], code: i32) -> (String, String) {
        ended(self.command(arguments).output().unwrap(), code)
    }
}

fn ended(output: Output, code: i32) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, error) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    (out, error)
}

/// Starts a proxy with the map, in place of the Worker.
fn worker() -> Proxy {
    let server = |name: &str| {
        let url = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        format!("{{ url: \"{url}\", name: {name} }}")
    };
    let servers = ["chat-a", "chat-b"].map(server).join(", ");
    Proxy::with(&format!("services:\n  chat.example.com: [{servers}]\ndefaults: {{ health_check: false }}\n"))
}

#[test]
fn a_changed_map_is_compared_with_the_last_deployment() {
    let (folder, worker) = (Folder::new(), worker());
    let arguments = ["--yes", "--to", &worker.public];
    let (out, _) = folder.deploy(&arguments, 0);
    assert!(out.starts_with("services.yaml: 1 service, 2 servers, no warnings\n"), "{out}");
    assert!(out.contains("\nChanges: 1 service, the first deployment from this folder\n"), "{out}");
    assert!(out.contains("\nCurrent Version ID: v1\n\nDeployed version v1.\n"), "{out}");
    assert!(out.contains("\nchat.example.com     200  chat-a     ok\n"), "{out}");
    assert!(!out.contains("rollback"), "{out}");
    assert_eq!(folder.calls(), [STATUS, "deploy --config wrangler.toml"]);

    folder.write("services.yaml", &MAP.replace("[chat-a", "[chat-c.example.com, chat-a"));
    let (out, error) = folder.deploy(&arguments, 0);
    let changes = "\nChanges since the last deployment from this folder:\nchat.example.com changed\n";
    assert!(out.contains(changes) && out.contains("server chat-c added"), "{out}");
    assert!(out.ends_with("\nTo roll back: npx wrangler rollback v1\n"), "{out}");
    assert!(!error.contains("warning"), "{error}");
    assert_eq!(folder.calls(), [STATUS, "deploy --config wrangler.toml"]);

    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy.md")).unwrap();
    let shown = format!("```text\n$ tunnel-balancer deploy --yes\n{out}```\n");
    assert!(page.contains(&shown), "docs/deploy.md does not show\n{shown}");

    folder.write("version", "v9");
    let (out, error) = folder.deploy(&arguments, 0);
    assert!(out.contains("from this folder:\nno difference\n"), "{out}");
    assert!(error.contains("the Worker was changed elsewhere: deployed is v9, but"), "{error}");
    assert!(out.ends_with("npx wrangler rollback v9\n"), "{out}");

    folder.write("old.yaml", MAP);
    let (out, _) = folder.deploy(&["--yes", "--wait", "0s", "--deployed", "old.yaml"], 0);
    assert!(out.contains("\nChanges since old.yaml:\n"), "{out}");
}

#[test]
fn errors_stop_it_before_wrangler_runs() {
    let folder = Folder::new();
    folder.write("services.yaml", &MAP.replace("services", "servcies"));
    let (out, error) = folder.deploy(&["--yes"], 2);
    assert!(out.is_empty() && error.contains("did you mean `services`?"), "{out}{error}");
    folder.write("services.yaml", &MAP.replace("chat.ex", "wiki.ex"));
    let (out, error) = folder.deploy(&["--dry-run"], 2);
    let expected = "\n  error: wiki.example.com has no route in wrangler.toml\n    \
        hint: write the routes with `tunnel-balancer generate wrangler --write`\n";
    assert!(out.is_empty() && error.contains(expected), "{out}{error}");
    let (_, error) = folder.deploy(&["--yes", "--env", "staging"], 2);
    assert!(error.starts_with("error: wrangler.toml has no environment `staging`"), "{error}");
    folder.write("services.yaml", MAP);
    folder.write("wrangler.toml", &format!("{CONFIG}[vars]\nSERVICES_YAML = \"services: {{}}\"\n"));
    let (_, error) = folder.deploy(&["--yes"], 2);
    assert!(error.contains("sets the variable SERVICES_YAML, which overrides services.yaml"), "{error}");
    assert_eq!(folder.calls(), [] as [&str; 0]);
}

#[test]
fn missing_secrets_stop_it_unless_they_are_allowed() {
    let folder = Folder::new();
    let headers = "headers: { X-A: \"${ACCESS_ID}\", X-B: \"${ACCESS_SECRET}\" }";
    folder
        .write("services.yaml", &MAP.replace("[chat-a", &format!("[{{ url: chat-c.example.com, {headers} }}, chat-a")));
    folder.write("secrets", "[\n  { \"name\": \"ACCESS_ID\", \"type\": \"secret_text\" }\n]\n");
    let (_, error) = folder.deploy(&["--yes"], 2);
    assert!(error.contains("error: 1 secret not set: ACCESS_SECRET\n"), "{error}");
    assert!(error.ends_with("\n  npx wrangler secret put ACCESS_SECRET\n"), "{error}");
    folder.write("unknown", "");
    let (_, error) = folder.deploy(&["--yes"], 2);
    assert!(error.contains("error: 2 secrets not set: ACCESS_ID, ACCESS_SECRET\n"), "{error}");
    let list = "secret list --config wrangler.toml";
    assert_eq!(folder.calls(), [list; 2]);

    let (_, error) = folder.deploy(&["--yes", "--allow-missing-secrets", "--wait", "0s"], 0);
    assert!(error.contains("warning: 2 secrets not set"), "{error}");
    assert_eq!(folder.calls(), [list, STATUS, "deploy --config wrangler.toml"]);

    fs::remove_file(folder.path.join("unknown")).unwrap();
    folder.write("wrangler.toml", &format!("{CONFIG}[vars]\nACCESS_SECRET = \"plain\"\n"));
    folder.deploy(&["--yes", "--wait", "0s"], 0);

    fs::remove_file(folder.path.join("secrets")).unwrap();
    let (_, error) = folder.deploy(&["--yes"], 2);
    assert!(error.contains("error: `wrangler secret list` failed (exit status: 1)\n"), "{error}");
    assert!(error.ends_with("hint: log in with `npx wrangler login`, or set CLOUDFLARE_API_TOKEN\n"), "{error}");
    let (_, error) = folder.deploy(&["--dry-run"], 0);
    assert!(error.contains("warning: the secrets are not checked: ACCESS_ID\n"), "{error}");
}

#[test]
fn a_failure_of_wrangler_is_not_recorded() {
    let folder = Folder::new();
    folder.write("fails", "");
    let (_, error) = folder.deploy(&["--yes"], 3);
    assert!(error.contains("upload failed\nerror: `wrangler deploy` failed (exit status: 7)\n"), "{error}");
    assert!(!folder.path.join(".tunnel-balancer").exists());
    let (_, error) = folder.deploy(&["--yes", "--wrangler-program", "no/wrangler"], 3);
    assert!(error.contains("error: cannot start no/wrangler: "), "{error}");
}

#[test]
fn a_deployment_is_confirmed_on_a_terminal() {
    let folder = Folder::new();
    let (_, error) = folder.deploy(&[], 2);
    assert_eq!(error, "error: no terminal for a confirmation\n  hint: use --yes, or --dry-run\n");
    for (typed, code, calls) in [("n\n", 2, &[STATUS][..]), ("y\n", 0, &[STATUS, "deploy --config wrangler.toml"][..])]
    {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let terminal = fs::File::options().read(true).write(true).open(name).unwrap();
        fs::File::from(controller.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        let (_, error) = ended(folder.command(&["--wait", "0s"]).stdin(terminal).output().unwrap(), code);
        assert!(error.contains("Deploy? [y/N] ") && error.contains("not deployed\n") == (code == 2), "{error}");
        assert_eq!(folder.calls(), calls);
    }
}

#[test]
fn a_dry_run_uploads_nothing_and_arguments_are_passed_on() {
    let folder = Folder::new();
    folder.write("staging.yaml", &MAP.replace("chat.ex", "chat.staging.ex"));
    let staging = CONFIG.replace("chat.ex", "chat.staging.ex").replace("name = \"balancer\"\n", "");
    folder.write("other.toml", &format!("{CONFIG}[env.staging]\n{staging}"));
    let arguments = ["-f", "staging.yaml", "-c", "other.toml", "--env", "staging"];
    let (out, _) = folder.deploy(&[&arguments[..], &["--dry-run", "--", "--tag", "a b"]].concat(), 0);
    assert!(out.ends_with("\nDry run: nothing is deployed.\n"), "{out}");
    assert_eq!(folder.calls(), ["deploy --config other.toml --env staging --dry-run --tag a b"]);
    folder.deploy(&[&arguments[..], &["--", "--dry-run"]].concat(), 0);
    assert!(!folder.path.join(".tunnel-balancer").exists());
    folder.write("version", "v3");
    let (out, _) = folder.deploy(&[&arguments[..], &["--yes", "--wait", "0s"]].concat(), 0);
    assert!(out.ends_with("\nTo roll back: npx wrangler rollback v3 --env staging\n"), "{out}");
    assert!(folder.path.join(".tunnel-balancer/deployed-staging.yaml").exists());
}

#[test]
fn an_entry_with_another_map_is_reported() {
    let folder = Folder::new();
    folder.write("worker.js", "import services from './services.yaml';\n");
    folder.write("wrangler.toml", &format!("main = \"worker.js\"\n{CONFIG}"));
    let (_, error) = folder.deploy(&["--dry-run"], 0);
    assert_eq!(error, "");
    folder.write("staging.yaml", MAP);
    let (_, error) = folder.deploy(&["--dry-run", "-f", "staging.yaml"], 0);
    assert!(error.starts_with("warning: worker.js does not import staging.yaml, so the Worker may"), "{error}");
}

#[test]
fn hostnames_are_requested_until_a_server_responds() {
    let folder = Folder::new();
    let other = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    let (out, error) = folder.deploy(&["--yes", "--wait", "3s", "--to", &other], 1);
    assert!(out.ends_with("200  -          failed: not from the Worker\n"), "{out}");
    assert!(error.contains("waiting for the public hostnames: 0 of 1 respond, "), "{error}");
    // The route takes effect after two requests.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (mut stream, mut head) = (stream.unwrap(), [0; 4096]);
            let length = stream.read(&mut head).unwrap_or(0);
            assert!(String::from_utf8_lossy(&head[..length]).contains("host: chat.example.com\r\n"));
            let served_by = if number < 2 { "" } else { "X-Served-By: chat-b\r\n" };
            let response =
                format!("HTTP/1.1 404 Not Found\r\n{served_by}Content-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(response.as_bytes());
        }
    });
    let (out, _) = folder.deploy(&["--yes", "--to", &url], 0);
    assert!(out.contains("chat.example.com     404  chat-b     ok\n"), "{out}");
}

#[test]
fn a_signal_stops_wrangler_before_anything_else_runs() {
    let folder = Folder::new();
    let headers = "headers: { X-A: \"${ACCESS_ID}\" }";
    folder
        .write("services.yaml", &MAP.replace("[chat-a", &format!("[{{ url: chat-c.example.com, {headers} }}, chat-a")));
    let allowed = ["--yes", "--allow-missing-secrets"];
    let (list, deploy) = ("secret list --config wrangler.toml", "deploy --config wrangler.toml");
    let table: [(&[&str], i32, &[&str]); 3] =
        [(&["--dry-run"], 2, &[list]), (&allowed, 2, &[list, STATUS]), (&allowed, 3, &[list, STATUS, deploy])];
    for (arguments, code, calls) in table {
        let name = calls.last().unwrap().strip_suffix(" --config wrangler.toml").unwrap();
        folder.write("hangs", name.split(' ').next().unwrap());
        for signal in [Signal::TERM, Signal::INT] {
            let mut command = folder.command(arguments);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            while !fs::read_to_string(folder.path.join("calls")).unwrap_or_default().contains("hangs\n") {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            kill_process(Pid::from_child(&child), signal).unwrap();
            let (_, error) = ended(child.wait_with_output().unwrap(), code);
            assert!(error.ends_with(&format!("error: a signal stopped `wrangler {name}`\n")), "{error}");
            assert_eq!(folder.calls(), [calls, &["hangs", "stopped"]].concat());
        }
    }
}

/// The options are those of the real wrangler. It reaches no network in a dry run.
#[test]
fn wrangler_accepts_the_command_line() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/.bin/wrangler");
    if !program.is_file() {
        println!("NOT CHECKED: wrangler is not installed; run `npm ci`");
        return;
    }
    let folder = Folder::new();
    folder.write("worker.js", "export default { fetch: () => new Response() };\n");
    let environment = "[env.staging]\nroutes = [\"chat.example.com/*\"]\n";
    let head = "main = \"worker.js\"\ncompatibility_date = \"2026-04-24\"\n";
    folder.write("wrangler.toml", &format!("{head}{CONFIG}{environment}"));
    let headers = "headers: { X-A: \"${ACCESS_ID}\" }";
    folder
        .write("services.yaml", &MAP.replace("[chat-a", &format!("[{{ url: chat-c.example.com, {headers} }}, chat-a")));
    let arguments = ["--dry-run", "--env", "staging", "--wrangler-program", program.to_str().unwrap()];
    let mut command = folder.command(&arguments);
    command.env("WRANGLER_SEND_METRICS", "false").env("CI", "1").env("HOME", &folder.path);
    command.env_remove("CLOUDFLARE_API_TOKEN").env("XDG_CONFIG_HOME", &folder.path);
    let (out, error) = ended(command.output().unwrap(), 0);
    assert!(out.contains("--dry-run: exiting now."), "{out}");
    assert!(error.contains("hint: log in with `npx wrangler login`, or set CLOUDFLARE_API_TOKEN\n"), "{error}");
    assert!(error.contains("warning: the secrets are not checked: ACCESS_ID\n"), "{error}");
}
