//! `tunnel-balancer probe` and `check --probe` against servers on loopback.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

/// A server that answers with what `answer` makes of each request's head. Returns its address.
fn server(answer: fn(&str) -> &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            // Of whoever begins with a TLS handshake the first byte says enough.
            while !head.ends_with(b"\r\n\r\n") && head != [0x16] && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.extend(byte);
            }
            let _ = stream.write_all(answer(&String::from_utf8_lossy(&head).to_ascii_lowercase()).as_bytes());
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What is printed, with every time as `N ms`, and the exit code.
fn probe(yaml: &str, arguments: &[&str]) -> (String, Option<i32>) {
    run(yaml, &[&["probe"], arguments].concat())
}

fn run(yaml: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let directory =
        std::env::temp_dir().join(format!("probe-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("services.yaml"), yaml).unwrap();
    let program = env!("CARGO_BIN_EXE_tunnel-balancer");
    let output =
        Command::new(program).args(arguments).current_dir(&directory).env("TOKEN", "a token").output().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let words = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_time = |at: usize| words.get(at + 1) == Some(&"ms");
        let shown = words.iter().enumerate().map(|(at, word)| if is_time(at) { "N" } else { word });
        shown.collect::<Vec<_>>().join(" ") + "\n"
    });
    (words.collect(), output.status.code())
}

#[test]
fn every_server_is_looked_at_and_said_why() {
    let well = server(|_| OK);
    let lost = server(|_| "HTTP/1.1 530 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let login = server(
        |_| "HTTP/1.1 302 Found\r\nLocation: https://team.cloudflareaccess.com/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let moved = server(|_| "HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let resets = server(|_| "");
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let yaml = format!(
        "services:\n  app.test:\n    servers: [{{url: http://{well}, name: well}}, {{url: http://{lost}, name: lost}}, {{url: http://{login}, \
         name: login}}, {{url: http://{moved}, name: moved}}, {{url: http://{resets}, name: resets}}, {{url: http://{refuses}, name: refuses}}, \
         {{url: https://{well}, name: no-tls}}]\n    health_check: {{ path: /healthz }}\n  quiet.test:\n    servers: [a.test]\n    \
         health_check: false\n"
    );
    let (text, code) = probe(&yaml, &[]);
    let expected = "\
SERVICE SERVER STATUS TIME VERDICT
app.test well 200 N ms healthy
lost 530 N ms unhealthy: the tunnel is down, or its hostname unknown (530, errors 1033 and 1016)
login 302 N ms unhealthy: blocked by Access (redirect to its login page)
moved 301 N ms healthy; it redirects to /login
resets - N ms unhealthy: connection lost
refuses - N ms unhealthy: connection refused
no-tls - N ms unhealthy: TLS: received corrupt message of type InvalidContentType
quiet.test a - - not checked
";
    assert_eq!((text.as_str(), code), (expected, Some(1)));
}

#[test]
fn a_server_that_answers_without_its_secret_is_open() {
    let guarded = server(|head| {
        if head.contains("x-token: a token") {
            OK
        } else {
            "HTTP/1.1 403 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        }
    });
    let open = server(|_| OK);
    let yaml = |address: &str| {
        format!(
            "services:\n  app.test:\n    servers: [{{url: http://{address}, name: a, headers: {{X-Token: \"${{TOKEN}}\"}}}}]\n"
        )
    };
    let (text, code) = probe(&yaml(&guarded), &["app.test"]);
    assert_eq!((text.lines().last(), code), (Some("app.test a 200 N ms healthy"), Some(0)));
    let (text, code) = probe(&yaml(&open), &[]);
    let told = "app.test a 200 N ms healthy; OPEN: it answers without its own headers, too";
    assert_eq!((text.lines().last(), code), (Some(told), Some(1)));
    let (text, code) = probe(&yaml(&open), &["other.test"]);
    assert_eq!((text.as_str(), code), ("error: services.yaml has no service other.test, but: app.test\n", Some(2)));
}

#[test]
fn check_warns_of_health_checks_that_fail_or_redirect() {
    const MOVED: &str = "HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let moved = server(|_| MOVED);
    let well = || server(|head| if head.contains("x-token: a token") { OK } else { MOVED });
    let (well, other) = (well(), well());
    let yaml = |first: &str, expect: &str| {
        let server =
            |name, address| format!("{{url: http://{address}, name: {name}, headers: {{X-Token: \"${{TOKEN}}\"}}}}");
        let (first, second) = (server("first", first), server("second", &well));
        format!(
            "services:\n  app.test:\n    servers: [{first}, {second}]\n    health_check: {{ path: /healthz{expect} }}\n"
        )
    };
    let warned = "warning[redirect]: the health check of app.test, server first, redirects to /login and passes: choose a path \
                  that the application answers itself, or `expect_status: 200-299`";
    let (text, code) = run(&yaml(&moved, ""), &["check", "--probe"]);
    assert_eq!((text.lines().next(), code), (Some(warned), Some(0)), "{text}");
    assert!(text.contains("services.yaml: 1 service, 2 servers, 1 warning\n"), "{text}");

    let (text, code) = run(&yaml(&moved, ""), &["check", "--probe", "--deny-warnings", "--format", "github"]);
    assert!(text.starts_with("::warning file=services.yaml,title=redirect::the health check of app.test"), "{text}");
    assert_eq!(code, Some(1));

    let warned = "warning[failing-check]: the health check of app.test, server first, does not pass: status 301";
    let (text, code) = run(&yaml(&moved, ", expect_status: 200-299"), &["check", "--probe"]);
    assert_eq!((text.lines().next(), code), (Some(warned), Some(0)), "{text}");

    let nothing = "services.yaml: 1 service, 2 servers, no warnings\n";
    let (text, code) = run(&yaml(&moved, ""), &["check", "--deny-warnings"]);
    assert!(text.starts_with(nothing) && code == Some(0), "nobody is asked: {text}");
    let (text, code) = run(&yaml(&other, ""), &["check", "--probe", "--deny-warnings"]);
    assert!(text.starts_with(nothing) && code == Some(0), "all are well: {text}");

    let (text, code) = run(&yaml(&other, "").replace("TOKEN", "UNSET"), &["check", "--probe"]);
    let hint = "the command `tunnel-balancer` from its environment: `export UNSET=…`";
    assert!(text.contains("error[") && text.contains(hint) && code == Some(2), "{text}");
}
