use super::super::*;

const FILE: &str = "tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef
credentials-file: /root/.cloudflared/6ff42ae2-765d-4adf-8112-31c55c1551ef.json
originRequest: { connectTimeout: 30s, httpHostHeader: all.example.com }
ingress:
  - hostname: chat-a.example.com
    service: http://localhost:8080
    originRequest:
      httpHostHeader: chat.example.com
  - hostname: \"*.static.example.com\"
    path: \\.(jpg|png)$
    service: https://localhost:8443
    originRequest: { noTLSVerify: true }
  - hostname: 12
    service: http://localhost:12
    originRequest: { httpHostHeader: \"\" }
  - hostname: \"*\"
    service: http_status:404
";

/// Returns each rule as a line: its line, hostname, path, service and header.
fn outline(ingress: &Ingress) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let line = |rule: &IngressRule| {
        let (hostname, path, header) = (&rule.hostname, &rule.path, &rule.http_host_header);
        format!("{}: {} {} {} {}", rule.line, or_dash(hostname), or_dash(path), rule.service, or_dash(header))
    };
    ingress.rules.iter().map(line).collect()
}

const OUTLINE: [&str; 4] = [
    "5: chat-a.example.com - http://localhost:8080 chat.example.com",
    "9: *.static.example.com \\.(jpg|png)$ https://localhost:8443 all.example.com",
    "13: 12 - http://localhost:12 -",
    "16: - - http_status:404 all.example.com",
];

#[test]
fn rules_are_read_with_the_defaults_of_the_file() {
    let ingress = parse_ingress(FILE).unwrap();
    assert_eq!(ingress.tunnel.as_deref(), Some("6ff42ae2-765d-4adf-8112-31c55c1551ef"));
    assert_eq!(outline(&ingress), OUTLINE);
    for text in [format!("\u{feff}{FILE}"), FILE.replace('\n', "\r\n"), format!("---\n{FILE}")] {
        let shift = usize::from(text.starts_with("---"));
        let lines: Vec<usize> = parse_ingress(&text).unwrap().rules.iter().map(|rule| rule.line - shift).collect();
        assert_eq!(lines, [5, 9, 13, 16], "{text:?}");
    }
}

#[test]
fn a_file_without_ingress_has_one_rule() {
    let table = [
        ("tunnel: home\nurl: http://localhost:8080\n", "2: - - http://localhost:8080 -"),
        ("url: localhost:8080/x", "1: - - http://localhost:8080 -"),
        ("url: ssh://localhost:22", "1: - - ssh://localhost:22 -"),
        ("http-host-header: a.example.com\nurl: http://localhost/x", "2: - - http://localhost a.example.com"),
        ("unix-socket: /run/app.sock", "1: - - unix:/run/app.sock -"),
        ("hello-world: true\nurl: ssh://localhost", "1: - - hello_world -"),
        ("hello-world: false\nurl: ssh://localhost", "2: - - ssh://localhost -"),
        ("ingress:\nbastion: true", "2: - - bastion -"),
        ("ingress:\n- service: hello_world\nurl: http://localhost", "2: - - hello_world -"),
    ];
    for (yaml, expected) in table {
        assert_eq!(outline(&parse_ingress(yaml).unwrap()), [expected], "{yaml}");
    }
    assert_eq!(parse_ingress("ingress: []").unwrap().rules, []);
}

#[test]
fn the_configuration_in_a_config_map_keeps_its_lines() {
    let indented: String = FILE.lines().map(|line| format!("    {line}\n")).collect();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: cloudflared }}\ndata:\n  config.yaml: |\n{indented}"
    );
    let shifted = |shift: usize| {
        OUTLINE.map(|line| {
            let (number, rest) = line.split_once(':').unwrap();
            format!("{}:{rest}", number.parse::<usize>().unwrap() + shift)
        })
    };
    let manifest =
        format!("apiVersion: apps/v1\nkind: Deployment\nspec: {{ replicas: 2 }}\n---\n{map}---\nkind: Service\n");
    for (text, shift) in [
        (map.clone(), 5),
        (map.replace(": |\n", ": |-\n"), 5),
        (map.replace("data:\n", "data:\n  other: text\n"), 6),
        (map.clone() + "  more: |\n    text\n", 5),
        (manifest, 9),
        (map.replace('\n', "\r\n"), 5),
    ] {
        let ingress = parse_ingress(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(outline(&ingress), shifted(shift), "{text}");
    }
    let errors = parse_ingress(&map.replace("    service: https", "    servcie: https")).unwrap_err().to_string();
    assert!(errors.starts_with("14:9: error[missing-key]"), "{errors}");

    let quoted = "kind: ConfigMap\ndata: { config.yaml: \"tunnel: x\\ningress:\\n- service: hello_world\\n\" }";
    assert_eq!(outline(&parse_ingress(quoted).unwrap()), ["4: - - hello_world -"]);
    // Another one, and none.
    for text in ["kind: ConfigMap\ndata: { a: b }", "kind: ConfigMap\n"] {
        assert!(parse_ingress(text).unwrap_err().to_string().contains("missing key `ingress`"), "{text}");
    }
}

#[test]
fn the_response_of_the_api_is_read() {
    let response = r#"{
  "success": true,
  "errors": [],
  "result": {
    "tunnel_id": "6ff42ae2-765d-4adf-8112-31c55c1551ef",
    "version": 3,
    "config": {
      "ingress": [
        { "hostname": "a.example.com", "service": "http://localhost:80", "originRequest": {} },
        { "service": "http_status:404" }
      ],
      "warp-routing": { "enabled": false },
      "originRequest": { "httpHostHeader": "all.example.com" }
    },
    "source": "cloudflare"
  }
}"#;
    let expected =
        ["9: a.example.com - http://localhost:80 all.example.com", "10: - - http_status:404 all.example.com"];
    let ingress = parse_ingress(response).unwrap();
    assert_eq!(ingress.tunnel.as_deref(), Some("6ff42ae2-765d-4adf-8112-31c55c1551ef"));
    assert_eq!(outline(&ingress), expected);
    // The body of a request to the API.
    let config = r#"{"config":{"ingress":[{"service":"http_status:404"}]}}"#;
    assert_eq!(outline(&parse_ingress(config).unwrap()), ["1: - - http_status:404 -"]);
    let local = r#"{"success":true,"result":{"tunnel_id":"x","config":null}}"#;
    assert!(parse_ingress(local).unwrap_err().to_string().contains("missing key `ingress`"));
}

#[test]
fn merge_keys_are_merged() {
    let yaml = "common: &common
  originRequest: { httpHostHeader: all.example.com }
other: &other { service: http://localhost:2, path: ^/other }
ingress:
  - <<: *common
    hostname: a.example.com
    service: http://localhost:1
  - hostname: b.example.com
    <<: [*common, *other]
  - { <<: *other, path: ^/b, hostname: c.example.com }
  - service: http_status:404
";
    assert_eq!(
        outline(&parse_ingress(yaml).unwrap()),
        [
            "5: a.example.com - http://localhost:1 all.example.com",
            "8: b.example.com ^/other http://localhost:2 all.example.com",
            "10: c.example.com ^/b http://localhost:2 -",
            "11: - - http_status:404 -",
        ]
    );
}

#[test]
fn errors_have_their_places() {
    let table = [
        ("tunnel: home", "1:1: error[missing-key]: missing key `ingress`"),
        ("", "1:1: error[wrong-type]: expected cloudflared's configuration: a map with the key `ingress`, found"),
        ("ingress: {}", "1:10: error[wrong-type]: expected a list of rules, found a map at ingress"),
        ("ingress:\n- hostname: a.example.com", "2:3: error[missing-key]: missing key `service` at ingress[0]"),
        ("ingress:\n- service: [x]", "2:12: error[wrong-type]: expected a string, found a list at ingress[0].service"),
        ("ingress:\n- service: x\n  service: y", "3:3: error[duplicate-key]"),
        ("ingress: [", "2:1: error[syntax]"),
    ];
    for (yaml, expected) in table {
        let errors = parse_ingress(yaml).unwrap_err().to_string();
        assert!(errors.starts_with(expected), "{yaml}: {errors}");
    }
}

#[test]
fn a_second_document_is_ignored_by_cloudflared() {
    let errors = parse_ingress(&format!("{FILE}---\n{FILE}")).unwrap_err();
    let [diagnostic] = errors.diagnostics() else { panic!("{errors}") };
    assert_eq!(diagnostic.hint.as_deref(), Some("remove it: cloudflared reads the first document only"));
}

#[test]
fn an_error_response_of_the_api_is_shown() {
    let response = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"result":null}"#;
    let errors = parse_ingress(response).unwrap_err();
    let expected = "1:1: error[invalid-value]: the file is an error response of the API: \"Authentication error\"\n  \
                    hint: check the token and the IDs of the account and the tunnel, and save the response again";
    assert_eq!(errors.to_string(), expected);
    assert!(parse_ingress(r#"{"success":false}"#).unwrap_err().to_string().contains("error response of the API\n"));
}

#[test]
fn a_manifest_of_many_documents_takes_linear_memory() {
    let documents = |count: usize| format!("# A ConfigMap\n{}", "---\n".repeat(count));
    let cost = |text: &str| allocation_counter::measure(|| drop(parse_ingress(text))).bytes_max;
    let [few, many] = [1_000, 4_000].map(|count| cost(&documents(count)));
    assert!(many < 5 * few, "{few} and {many} bytes at a time");
}
