//! `tunnel-balancer probe` and `check --probe` against servers on loopback.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Starts a server that responds with the result of `respond` for the head of each request. Returns
/// its address.
fn server(respond: fn(&str) -> &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            // The first byte of a TLS handshake is enough to recognize it.
            while !head.ends_with(b"\r\n\r\n") && head != [0x16] && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.extend(byte);
            }
            let _ = stream.write_all(respond(&String::from_utf8_lossy(&head).to_ascii_lowercase()).as_bytes());
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Returns the output without progress, with every time as `N ms`, and the exit code.
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
    let words = text.lines().filter(|line| !line.starts_with("probed ")).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_time = |at: usize| words.get(at + 1) == Some(&"ms");
        let shown = words.iter().enumerate().map(|(at, word)| if is_time(at) { "N" } else { word });
        shown.collect::<Vec<_>>().join(" ") + "\n"
    });
    (words.collect(), output.status.code())
}

#[test]
fn every_server_is_probed_and_failures_have_a_reason() {
    let up = server(|_| OK);
    let lost = server(|_| "HTTP/1.1 530 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let login = server(|_| {
        "HTTP/1.1 302 Found\r\nLocation: https://team.cloudflareaccess.com/login\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
    });
    let moved = server(|_| "HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let resets = server(|_| "");
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let yaml = format!(
        "services:\n  app.test:\n    servers: [{{url: http://{up}, name: up}}, {{url: http://{lost}, name: lost}}, \
         {{url: http://{login}, name: login}}, {{url: http://{moved}, name: moved}}, \
         {{url: http://{resets}, name: resets}}, {{url: http://{refuses}, name: refuses}}, \
         {{url: https://{up}, name: no-tls}}]\n    health_check: {{ path: /healthz }}\n  \
         quiet.test:\n    servers: [a.test]\n    \
         health_check: false\n"
    );
    let (text, code) = probe(&yaml, &[]);
    let expected = "\
SERVICE SERVER STATUS TIME RESULT
app.test up 200 N ms healthy
lost 530 N ms unhealthy: the tunnel is down, or its hostname unknown (530, errors 1033 and 1016)
login 302 N ms unhealthy: blocked by Access (redirect to its login page)
moved 301 N ms healthy (redirects to /login)
resets - N ms unhealthy: connection lost
refuses - N ms unhealthy: connection refused
no-tls - N ms unhealthy: the server speaks plain HTTP: write `http://…` in its URL
quiet.test a - - not probed
";
    assert_eq!((text.as_str(), code), (expected, Some(1)));
}

#[test]
fn a_server_that_passes_without_its_secret_is_open() {
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
            "services:\n  app.test:\n    servers:\n      \
             - {{url: http://{address}, name: a, headers: {{X-Token: \"${{TOKEN}}\"}}}}\n"
        )
    };
    let (text, code) = probe(&yaml(&guarded), &["app.test"]);
    assert_eq!((text.lines().last(), code), (Some("app.test a 200 N ms healthy"), Some(0)));
    let (text, code) = probe(&yaml(&open), &[]);
    let expected = "app.test a 200 N ms healthy; OPEN: passes without the headers of the server";
    assert_eq!((text.lines().last(), code), (Some(expected), Some(1)));
    let (text, code) = probe(&yaml(&open), &["other.test"]);
    let expected = "error: unknown service `other.test` in services.yaml\nhint: expected one of app.test\n";
    assert_eq!((text.as_str(), code), (expected, Some(2)));
    let (text, _) = probe(&yaml(&open), &["services.yaml"]);
    assert!(text.ends_with("hint: name the map by `-f services.yaml`\n"), "{text}");
}

/// A server that fails is not probed without its headers: a silent one would take two timeouts.
#[test]
fn a_server_that_fails_is_probed_once() {
    static PROBES: AtomicUsize = AtomicUsize::new(0);
    let address = server(|_| {
        PROBES.fetch_add(1, Ordering::Relaxed);
        "HTTP/1.1 503 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    });
    let server = format!("{{url: http://{address}, name: a, headers: {{X-Token: \"${{TOKEN}}\"}}}}");
    let (text, code) = probe(&format!("services:\n  app.test:\n    servers: [{server}]\n"), &[]);
    assert_eq!((text.lines().last(), code), (Some("app.test a 503 N ms unhealthy: status 503"), Some(1)));
    assert_eq!(PROBES.load(Ordering::Relaxed), 1);
}

/// The server responds only after all probes have arrived, in reverse order. So they must be in
/// flight at the same time. The results have the order of the file.
#[test]
fn many_servers_are_probed_at_the_same_time() {
    const SERVERS: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let streams: Vec<_> = (0..SERVERS).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams.into_iter().rev() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.extend(byte);
            }
            let _ = stream.write_all(OK.as_bytes());
        }
    });
    let services = (0..SERVERS).map(|n| format!("  app-{n}.test: http://{address}\n")).collect::<String>();
    let (text, code) = probe(&format!("services:\n{services}defaults: {{ health_check: {{ timeout: 10s }} }}\n"), &[]);
    assert_eq!(code, Some(0), "{text}");
    let names: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, (0..SERVERS).map(|n| format!("app-{n}.test")).collect::<Vec<_>>());
}

#[test]
fn progress_is_printed_if_it_takes_long() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let yaml = |timeout: &str| {
        format!("services: {{ app.test: {{ servers: ['http://{address}'], health_check: {{ timeout: {timeout} }} }} }}")
    };
    let errors = |yaml: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tunnel-balancer"))
            .args(["probe", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    assert_eq!(errors(&yaml("3s")), "probed 0 of 1\n");
    assert_eq!(errors(&yaml("100ms")), "");
}

#[test]
fn check_warns_about_health_checks_that_fail_or_redirect() {
    const MOVED: &str = "HTTP/1.1 301 Moved\r\nLocation: /login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let moved = server(|_| MOVED);
    let up = || server(|head| if head.contains("x-token: a token") { OK } else { MOVED });
    let (up, other) = (up(), up());
    let yaml = |first: &str, expect: &str| {
        let server =
            |name, address| format!("{{url: http://{address}, name: {name}, headers: {{X-Token: \"${{TOKEN}}\"}}}}");
        let (first, second) = (server("first", first), server("second", &up));
        format!(
            "services:\n  app.example.com:\n    servers: [{first}, {second}]\n    \
             health_check: {{ path: /healthz{expect} }}\n"
        )
    };
    let expected = "warning[redirect]: the health check of app.example.com, server first, redirects to /login and \
                    passes: choose a path without a redirect, or set `expect_status: 200-299`";
    let (text, code) = run(&yaml(&moved, ""), &["check", "--probe"]);
    assert!(text.contains(expected) && code == Some(0), "{text}");
    assert!(text.contains("services.yaml: 1 service, 2 servers, 3 warnings\n"), "{text}");

    let (text, code) =
        run(&yaml(&moved, ""), &["check", "-f", "services.yaml", "--probe", "--deny-warnings", "--format", "github"]);
    assert!(
        text.contains("::warning file=services.yaml,title=redirect::the health check of app.example.com"),
        "{text}"
    );
    assert_eq!(code, Some(1));

    let expected =
        "warning[failing-check]: the health check of app.example.com, server first, does not pass: status 301";
    let (text, code) = run(&yaml(&moved, ", expect_status: 200-299"), &["check", "--probe"]);
    assert!(text.contains(expected) && code == Some(0), "{text}");

    let summary = "services.yaml: 1 service, 2 servers, 2 warnings\n";
    let (text, code) = run(&yaml(&moved, ""), &["check"]);
    assert!(text.contains(summary) && code == Some(0), "{text}");
    let (text, code) = run(&yaml(&other, ""), &["check", "--probe"]);
    assert!(text.contains(summary) && code == Some(0), "{text}");

    let (text, code) = run(&yaml(&other, "").replace("TOKEN", "UNSET"), &["check", "--probe"]);
    let hint = "with `export UNSET=…` for `tunnel-balancer`";
    assert!(text.contains("error[") && text.contains(hint) && code == Some(2), "{text}");
}

#[test]
fn a_tcp_check_needs_a_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (up, down) = (silent.local_addr().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let yaml = format!(
        "services:\n  app.test:\n    servers: [{{url: http://{up}, name: up}}, {{url: http://{down}, name: down}}, \
         {{url: http://{down}/x, name: other-port, health_check: {{ port: {} }}}}]\n    health_check: tcp\n",
        up.port()
    );
    let (text, code) = probe(&yaml, &[]);
    let expected = "\
SERVICE SERVER STATUS TIME RESULT
app.test up - N ms healthy
down - N ms unhealthy: connection refused
other-port - N ms healthy
";
    assert_eq!((text.as_str(), code), (expected, Some(1)));
}

/// The credentials may be those of the health check.
#[test]
fn open_servers_are_found_without_any_header() {
    let protected = server(|head| if head.contains("x-token: a token") { OK } else { FORBIDDEN });
    let yaml = format!(
        "services:\n  app.test:\n    servers: [{{url: http://{protected}, name: a, headers: {{ X-App: \"1\" }}}}]\n    \
         health_check: {{ headers: {{ X-Token: \"${{TOKEN}}\" }}}}\n"
    );
    let (text, code) = probe(&yaml, &[]);
    assert_eq!((text.as_str(), code), ("SERVICE SERVER STATUS TIME RESULT\napp.test a 200 N ms healthy\n", Some(0)));
}

const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[test]
fn the_probe_of_one_service_needs_no_secret_of_another() {
    let up = server(|_| OK);
    let yaml = format!(
        "services: {{ app.example.com: 'http://{up}', \
         other.example.com: [{{ url: 'http://{up}', headers: {{ X-Key: '${{UNSET}}' }} }}] }}"
    );
    assert_eq!(probe(&yaml, &["app.example.com"]).1, Some(0));
    for arguments in [&["other.example.com"][..], &[]] {
        let (text, code) = probe(&yaml, arguments);
        assert!(code == Some(2) && text.contains("the secret `UNSET` is not set"), "{arguments:?}: {text}");
    }
    assert!(probe(&yaml, &["app.example.net"]).0.contains("expected one of app.example.com, other.example.com"));
}
