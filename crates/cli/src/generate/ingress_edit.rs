//! New rules in an existing `config.yml`, of which every other byte is kept.

use tunnel_balancer_config::{Ingress, IngressRule, IngressTarget, parse_ingress};

/// A rule to be added.
#[derive(Clone, Debug)]
pub(super) struct NewRule {
    pub(super) hostname: String,
    /// The servers that the rule is for.
    pub(super) comment: String,
    /// The public hosts of these servers, whose rules have the same application.
    pub(super) public: Vec<String>,
    /// The service that the command line names for this hostname.
    pub(super) given: Option<String>,
    /// The service if the file has no rule for a public host.
    pub(super) known: Option<String>,
    /// The hosts that the application should get in `Host`. Empty: that of the server.
    pub(super) host_headers: Vec<String>,
}

/// A file with new rules.
pub(super) struct Edit {
    pub(super) text: String,
    /// What was added, one entry a rule.
    pub(super) added: Vec<String>,
}

/// Adds rules before the last rule of a file, which has to match every request. The result is read
/// again: an edit that changes any other rule is an error.
pub(super) fn add(name: &str, text: &str, ingress: &Ingress, rules: &[NewRule]) -> Result<Edit, String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(last) = ingress.rules.last().filter(|rule| rule.is_catch_all()) else {
        return Err(format!(
            "error: {name}: the last rule does not match every request\n  hint: add `- service: http_status:404` to \
            the \
             end of `ingress`"
        ));
    };
    let no_list = || {
        let line = last.line;
        format!(
            "{name}:{line}: error: cannot add rules to this list\n  hint: write each rule on lines of its own, with \
            `- ` in front"
        )
    };
    let item = first_line(&lines, last).ok_or_else(no_list)?;
    let indent = indentation(lines.get(item).copied().unwrap_or_default());
    let is_comment = |line: &&&str| line.trim_start().starts_with('#') && indentation(line) == indent;
    let comments = lines.iter().take(item).rev().take_while(is_comment).count();
    let (before, after) = lines.split_at_checked(item - comments).ok_or_else(no_list)?;
    let (mut added, mut new, mut expected) = (Vec::new(), String::new(), Vec::new());
    for rule in rules {
        let sources = if rule.given.is_none() { sources(ingress, rule) } else { Vec::new() };
        if sources.is_empty() {
            added.push(rule.summary(None, rule.service()));
            new += &rule.lines(indent, None, rule.service());
            expected.push((&rule.hostname, &None));
        }
        for source in sources {
            let (path, service) = (source.path.as_deref(), (source.service.as_str(), true));
            added.push(rule.summary(path, service));
            new += &match copy(&lines, ingress, source, rule) {
                Some(copied) => format!("{indent}# {}\n{copied}", rule.comment),
                None => rule.lines(indent, path, service),
            };
            expected.push((&rule.hostname, &source.path));
        }
    }
    if text.contains("\r\n") {
        new = new.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    let text = before.concat() + &new + &after.concat();
    if is_as_expected(&text, ingress, &expected) { Ok(Edit { text, added }) } else { Err(no_list()) }
}

/// Returns the index of the line with the `-` of a rule.
fn first_line(lines: &[&str], rule: &IngressRule) -> Option<usize> {
    let mut index = rule.line.checked_sub(1)?;
    let is_item = |line: &str| line.trim_start().starts_with("- ");
    if lines.get(index).is_some_and(|line| is_item(line)) {
        return Some(index);
    }
    // The first key is below the `-`.
    loop {
        index = index.checked_sub(1)?;
        let line = lines.get(index)?.trim();
        let rest = line.strip_prefix('-').map(str::trim_start);
        match rest {
            Some(rest) if rest.is_empty() || rest.starts_with(['#', '&']) => return Some(index),
            None if line.is_empty() || line.starts_with('#') => {}
            _ => return None,
        }
    }
}

fn indentation(line: &str) -> &str {
    line.split(|c| c != ' ').next().unwrap_or_default()
}

/// Returns the rules of a public host, which has the same applications, up to the first for all
/// paths. None, if no application is among them.
fn sources<'i>(ingress: &'i Ingress, rule: &NewRule) -> Vec<&'i IngressRule> {
    let hostname = |other: &IngressRule| other.hostname.as_ref().map(|hostname| hostname.to_ascii_lowercase());
    let is_public = |other: &&IngressRule| hostname(other).is_some_and(|hostname| rule.public.contains(&hostname));
    let is_application = |other: &&IngressRule| other.target() == IngressTarget::Application;
    let Some(first) = ingress.rules.iter().filter(is_public).find(is_application) else { return Vec::new() };
    let mut sources: Vec<&IngressRule> =
        ingress.rules.iter().filter(|other| hostname(other) == hostname(first)).collect();
    let last = sources.iter().position(|source| source.path.is_none());
    sources.truncate(last.map_or(sources.len(), |last| last + 1));
    if sources.iter().any(is_application) { sources } else { Vec::new() }
}

/// Returns the lines of the rule of a public host with another hostname.
fn copy(lines: &[&str], ingress: &Ingress, source: &IngressRule, rule: &NewRule) -> Option<String> {
    let start = first_line(lines, source)?;
    let starts = ingress.rules.iter().filter_map(|other| first_line(lines, other));
    let end = starts.filter(|other| *other > start).min()?;
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let text = lines.get(start..end)?;
    let length = text.iter().rposition(is_content)? + 1;
    let text = without_anchors(&text.get(..length)?.concat());
    let lacks_header = source.http_host_header.is_none() && source.target() == IngressTarget::Application;
    if !rule.host_headers.is_empty() && lacks_header {
        return None;
    }
    let (before, after) = text.split_once("hostname:")?;
    let after = after.replacen(source.hostname.as_deref()?, &rule.hostname, 1);
    Some(format!("{before}hostname:{after}"))
}

/// Removes the anchors, such as `&tls` in `originRequest: &tls`. An anchor has one place.
fn without_anchors(text: &str) -> String {
    let mut parts = text.split(" &");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "{[,]}".contains(c)).unwrap_or(part.len());
        let is_anchor = result.ends_with([':', '-']) && end > 0;
        result += if is_anchor { &part[end..] } else { " &" };
        result += if is_anchor { "" } else { part };
    }
    result
}

/// Returns whether `text` has the rules of `ingress`, and rules with these hostnames and paths
/// before the last of them.
fn is_as_expected(text: &str, ingress: &Ingress, rules: &[(&String, &Option<String>)]) -> bool {
    let without_lines = |ingress: &Ingress| {
        let mut rules = ingress.rules.clone();
        rules.iter_mut().for_each(|rule| rule.line = 0);
        rules
    };
    let Ok(found) = parse_ingress(text) else { return false };
    let (found, mut kept) = (without_lines(&found), without_lines(ingress));
    let Some(first) = kept.len().checked_sub(1) else { return false };
    let Some(new) = found.get(first..first + rules.len()) else { return false };
    let are_new = new.iter().zip(rules).all(|(found, (hostname, path))| {
        found.hostname.as_ref() == Some(*hostname) && found.path == **path && found.validate().is_none()
    });
    kept.splice(first..first, new.iter().cloned());
    are_new && found == kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# My tunnel.
tunnel: 6ff42ae2-765d-4adf-8112-31c55c1551ef
credentials-file: /etc/cloudflared/x.json   # do not touch
originRequest: { connectTimeout: 10s }

ingress:
  - hostname: chat.example.com   # the chat
    service: https://localhost:8443
    originRequest:
      noTLSVerify: true
  # Remote access.
  - hostname: ssh.example.com
    service: ssh://localhost:22

  # Everything else.
  - service: http_status:404
warp-routing:
  enabled: true
";

    fn rule(hostname: &str, public: &str) -> NewRule {
        NewRule {
            hostname: hostname.to_owned(),
            comment: format!("{public}, server x"),
            public: vec![public.to_owned()],
            given: None,
            known: None,
            host_headers: Vec::new(),
        }
    }

    fn edit(text: &str, rules: &[NewRule]) -> Result<Edit, String> {
        add("config.yml", text, &parse_ingress(text).unwrap(), rules)
    }

    #[test]
    fn the_rule_of_the_public_host_is_copied() {
        let new = "  # chat.example.com, server x
  - hostname: chat-a.example.com   # the chat
    service: https://localhost:8443
    originRequest:
      noTLSVerify: true
";
        let expected = FILE.replace("  # Everything", &format!("{new}  # Everything"));
        let Edit { text, added } = edit(FILE, &[rule("chat-a.example.com", "chat.example.com")]).unwrap();
        assert_eq!((text, added), (expected.clone(), vec!["chat-a.example.com: https://localhost:8443".to_owned()]));
        let dos = edit(&FILE.replace('\n', "\r\n"), &[rule("chat-a.example.com", "chat.example.com")]).unwrap().text;
        assert_eq!(dos, expected.replace('\n', "\r\n"));
    }

    #[test]
    fn all_rules_of_the_public_host_are_copied() {
        let rules = "  - hostname: chat.example.com
    path: ^/api
    service: http://localhost:1
  - { hostname: chat.example.com, path: ^/admin, service: http_status:403 }
  - hostname: Chat.example.com
    service: http://localhost:2
  - hostname: chat.example.com # never reached
    service: http://localhost:3
";
        let file = format!("ingress:\n{rules}  - service: http_status:404\n");
        let Edit { text, added } = edit(&file, &[rule("chat-a.example.com", "chat.example.com")]).unwrap();
        let new = "  # chat.example.com, server x
  - hostname: chat-a.example.com
    path: ^/api
    service: http://localhost:1
  # chat.example.com, server x
  - { hostname: chat-a.example.com, path: ^/admin, service: http_status:403 }
  # chat.example.com, server x
  - hostname: chat-a.example.com
    service: http://localhost:2
";
        assert_eq!(text, format!("ingress:\n{rules}{new}  - service: http_status:404\n"));
        assert_eq!(
            added,
            [
                "chat-a.example.com (path ^/api): http://localhost:1",
                "chat-a.example.com (path ^/admin): http_status:403",
                "chat-a.example.com: http://localhost:2"
            ]
        );
        // Lines that cannot be copied keep the path, too.
        let header = NewRule {
            host_headers: vec!["chat.example.com".to_owned()],
            ..rule("chat-a.example.com", "chat.example.com")
        };
        let text = edit(&file, &[header]).unwrap().text;
        assert!(text.contains("chat-a.example.com\n    path: \"^/api\"\n    service: http://localhost:1\n"), "{text}");
    }

    #[test]
    fn copies_have_no_anchor() {
        let file = FILE.replace("originRequest:\n      no", "originRequest: &tls # &x\n      no");
        let text = edit(&file, &[rule("chat-a.example.com", "chat.example.com")]).unwrap().text;
        assert!(text.contains("originRequest: # &x\n      noTLSVerify: true\n  # Everything"), "{text}");
        for (text, expected) in [
            ("- &a { b: &c d, e: http://x/?f=1 &g }", "- { b: d, e: http://x/?f=1 &g }"),
            ("a: &b\n  c: &d-1 [&e f]", "a:\n  c: [&e f]"),
            ("a: & b", "a: & b"),
        ] {
            assert_eq!(without_anchors(text), expected);
        }
    }

    #[test]
    fn credentials_are_redacted_in_the_report() {
        let file = FILE.replace("https://localhost:8443", "https://u:hunter2@localhost:8443");
        let Edit { text, added } = edit(&file, &[rule("chat-a.example.com", "chat.example.com")]).unwrap();
        assert_eq!(added, ["chat-a.example.com: https://*********@localhost:8443"]);
        assert_eq!(text.matches("hunter2").count(), 2, "{text}");
    }

    #[test]
    fn a_given_or_known_service_makes_a_new_rule() {
        let added =
            |rule: NewRule| edit(FILE, &[rule]).unwrap().text.replacen(&FILE[..FILE.find("  # Every").unwrap()], "", 1);
        let git = rule("git-a.example.com", "git.example.com");
        let unknown = added(git.clone());
        assert!(
            unknown.contains("    service: http://localhost:8080 # TODO: where the application listens\n"),
            "{unknown}"
        );
        let known = added(NewRule { known: Some("http://nas:3000".to_owned()), ..git });
        assert!(
            known.starts_with(
                "  # git.example.com, server x\n  - hostname: git-a.example.com\n    service: \
            http://nas:3000\n  # Every"
            ),
            "{known}"
        );
        let chat = rule("chat-a.example.com", "chat.example.com");
        let known = added(NewRule { known: Some("http://nas:1".to_owned()), ..chat.clone() });
        assert!(known.contains("https://localhost:8443"), "{known}");
        let given = added(NewRule { given: Some("http://nas:2".to_owned()), ..chat.clone() });
        assert!(given.contains("service: http://nas:2\n") && !given.contains("noTLSVerify"), "{given}");
        let header = added(NewRule { host_headers: chat.public.clone(), ..chat });
        assert!(
            header.contains("service: https://localhost:8443\n")
                && header.contains("httpHostHeader: chat.example.com\n"),
            "{header}"
        );
    }

    #[test]
    fn lists_of_every_form_are_completed_or_rejected() {
        let chat = [rule("chat-a.example.com", "chat.example.com")];
        let table = [
            "ingress:\n- service: http_status:404\n",
            "ingress:\n- service: http_status:404",
            "\u{feff}ingress:\n- service: http_status:404\n",
            "ingress:\n-\n  # last\n  service: http_status:404\n",
            "ingress:\n- # last\n  service: http_status:404\n",
            "ingress:\n- { hostname: chat.example.com, service: http://localhost:1 }\n- { service: http_status:404 }\n",
            "ingress:\n- hostname: \"chat.example.com\"\n  service: http://localhost:1\n- service: http_status:404\n",
            "x: &x { connectTimeout: 1s }\ningress:\n- hostname: chat.example.com\n  originRequest: *x\n  service: \
            http://localhost:1\n- service: http_status:404\n",
            "ingress:\n- hostname: chat.example.com\n  originRequest: &x { connectTimeout: 1s }\n  service: \
            http://localhost:1\n- service: http_status:404\n  originRequest: *x\n",
            "kind: ConfigMap\ndata:\n  config.yaml: |\n    ingress:\n    - service: http_status:404\n  other: x\n",
        ];
        for text in table {
            let edited = edit(text, &chat).unwrap_or_else(|error| panic!("{text}: {error}")).text;
            let rules = parse_ingress(&edited).unwrap().rules;
            let added = &rules[rules.len() - 2];
            assert_eq!(added.hostname.as_deref(), Some("chat-a.example.com"), "{edited}");
            assert_eq!(
                added.service,
                if text.contains("localhost:1") { "http://localhost:1" } else { "http://localhost:8080" }
            );
            let position = edited.find("# chat.example.com, server x").unwrap();
            assert!(text.starts_with(edited[..position].trim_end_matches(' ')), "{edited}");
        }
        let rejected = [
            ("ingress: [{ service: http_status:404 }]", "config.yml:1: error: cannot add rules to this list\n  hint: "),
            ("{ \"ingress\": [\n{ \"service\": \"http_status:404\" }\n] }", "config.yml:2: error: cannot add"),
            (
                "ingress:\n- hostname: a.example.com\n  service: hello_world\n",
                "error: config.yml: the last rule does not match",
            ),
        ];
        for (text, expected) in rejected {
            let error = edit(text, &chat).err().unwrap_or_default();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
