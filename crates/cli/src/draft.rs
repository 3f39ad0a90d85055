//! A services.yaml to start with. It has comments, which serializers cannot write.

use std::collections::BTreeSet;

use tunnel_balancer_config::{Diagnostic, parse, yaml_scalar};
use tunnel_balancer_core::{Server, ServerUrl};

/// A map that is created.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// The comments at the top.
    pub(crate) comments: Vec<String>,
    pub(crate) services: Vec<DraftService>,
    /// Lines of `defaults`, as YAML.
    pub(crate) defaults: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DraftService {
    pub(crate) comments: Vec<String>,
    /// The public host, with a path if there is one.
    pub(crate) address: String,
    pub(crate) servers: Vec<DraftServer>,
    /// Lines of the service after `servers`, as YAML.
    pub(crate) settings: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DraftServer {
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    /// The comment at the end of its line.
    pub(crate) comment: Option<String>,
    /// Further lines of the server, in YAML.
    pub(crate) settings: Vec<String>,
}

/// Placeholders for unknown hosts. The domain `invalid` is reserved for that.
pub(crate) const NO_HOST: &str = "change-me.invalid";
const NO_SERVER: &str = "change-me-server.invalid";

impl Draft {
    /// Returns the file.
    pub(crate) fn text(&self) -> String {
        let mut yaml = String::new();
        push_comments(&mut yaml, "", &self.comments);
        yaml += "\nservices:\n";
        for (index, service) in self.services.iter().enumerate() {
            yaml += if index == 0 { "" } else { "\n" };
            push_comments(&mut yaml, "  ", &service.comments);
            yaml += &format!("  {}:\n    servers:\n", yaml_scalar(&service.address));
            service.servers.iter().for_each(|server| push_server(&mut yaml, server));
            service.settings.iter().for_each(|line| yaml += &format!("    {line}\n"));
        }
        if !self.defaults.is_empty() {
            yaml += "\n# Defaults of all services.\ndefaults:\n";
            self.defaults.iter().for_each(|line| yaml += &format!("  {line}\n"));
        }
        yaml
    }

    /// Returns the errors in the file.
    pub(crate) fn errors(&self) -> Vec<Diagnostic> {
        parse(&self.text()).map_or_else(|errors| errors.diagnostics().to_vec(), |_| Vec::new())
    }
}

impl DraftService {
    /// Creates a service. A missing address or server becomes a placeholder.
    pub(crate) fn of(address: Option<&str>, servers: &[String]) -> Self {
        let mut servers: Vec<DraftServer> = servers.iter().map(DraftServer::at).collect();
        if servers.is_empty() {
            servers.push(DraftServer::at(NO_SERVER));
        }
        Self { address: address.unwrap_or(NO_HOST).to_owned(), servers, ..Self::default() }
    }

    /// Creates a service without servers. Without an address, a placeholder stands for the public
    /// host of the `index`th service (from 0), with a comment about it.
    pub(crate) fn imported(address: Option<String>, index: usize) -> Self {
        let todo =
            "TODO: the public hostname, which must not be that of a server. Or import again with `--public-host HOST`.";
        let comments = if address.is_some() { Vec::new() } else { vec![todo.to_owned()] };
        let address = address.unwrap_or_else(|| format!("change-me-{}.invalid", index + 1));
        Self { address, comments, ..Self::default() }
    }

    /// Names the servers whose default name, the first label, is taken by another one.
    pub(crate) fn resolve_duplicate_names(&mut self) {
        let default = |url: &str| url.parse().map(|url: ServerUrl| Server::new(url).name).unwrap_or_default();
        let mut taken = BTreeSet::new();
        for (index, server) in self.servers.iter_mut().enumerate() {
            let name = server.name.clone().unwrap_or_else(|| default(&server.url));
            if !taken.insert(name) {
                server.name = (index + 1..).map(|it| format!("server-{it}")).find(|name| taken.insert(name.clone()));
            }
        }
    }
}

impl DraftServer {
    /// Creates a server at this address, without any settings.
    pub(crate) fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

/// Returns what is wrong with a public address, if something is.
pub(crate) fn address_error(address: &str) -> Option<Diagnostic> {
    let services = vec![DraftService::of(Some(address), &[])];
    Draft { services, ..Draft::default() }.errors().into_iter().next()
}

/// Reads a public address in its usual form.
pub(crate) fn parse_address(address: &str) -> Result<String, String> {
    match address_error(address) {
        None => Ok(address.trim_end_matches('.').to_ascii_lowercase()),
        Some(error) => Err(render(&error)),
    }
}

/// Returns what is wrong with a server, if something is.
pub(crate) fn server_error(url: &str) -> Option<Diagnostic> {
    let services = vec![DraftService::of(None, &[url.to_owned()])];
    Draft { services, ..Draft::default() }.errors().into_iter().next()
}

/// Renders an error without its place, if there is no file yet.
pub(crate) fn render(error: &Diagnostic) -> String {
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
    format!("error[{}]: {}{hint}", error.code, error.message)
}

fn push_server(yaml: &mut String, server: &DraftServer) {
    let comment = server.comment.as_ref().map_or_else(String::new, |comment| format!(" # {}", one_line(comment)));
    let settings = server.name.iter().map(|name| format!("name: {}", yaml_scalar(name))).chain(server.settings.clone());
    let settings: String = settings.map(|line| format!("        {line}\n")).collect();
    let key = if settings.is_empty() { "" } else { "url: " };
    *yaml += &format!("      - {key}{}{comment}\n{settings}", yaml_scalar(&server.url));
}

fn push_comments(yaml: &mut String, indentation: &str, comments: &[String]) {
    for comment in comments {
        *yaml += &format!("{}\n", format!("{indentation}# {}", one_line(comment)).trim_end());
    }
}

/// Replaces the characters that would end a comment, since it may come from another file.
fn one_line(comment: &str) -> String {
    comment.replace(
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'),
        "?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_with_any_comments_are_valid_maps() {
        let draft = Draft {
            comments: vec!["two\nlines: [".to_owned(), "\u{2028}\u{0}\u{feff}".to_owned()],
            services: vec![DraftService {
                comments: vec!["# \r}".to_owned()],
                address: "chat.example.com/a:b".to_owned(),
                servers: vec![
                    DraftServer {
                        url: "http://[::1]:8080".to_owned(),
                        comment: Some("a\n- b".to_owned()),
                        ..DraftServer::default()
                    },
                    DraftServer {
                        url: "127.0.0.1".to_owned(),
                        name: Some("no".to_owned()),
                        settings: vec!["weight: 2".to_owned()],
                        ..DraftServer::default()
                    },
                ],
                settings: vec!["policy: random".to_owned()],
            }],
            defaults: vec!["served_by_header: false".to_owned()],
        };
        let config = parse(&draft.text()).unwrap_or_else(|errors| panic!("{errors}\n{}", draft.text()));
        let service = &config.services[0];
        let servers: Vec<(String, &str)> =
            service.servers().iter().map(|server| (server.url.to_string(), server.name.as_str())).collect();
        assert_eq!(service.name(), "chat.example.com/a:b");
        assert_eq!(servers, [("http://[::1]:8080".to_owned(), "[::1]:8080"), ("https://127.0.0.1".to_owned(), "no")]);
        assert!(!service.served_by_header);
    }

    #[test]
    fn addresses_and_servers_are_checked_by_the_configuration() {
        let table = [
            (
                address_error("https://chat.example.com"),
                "error[invalid-host]: `https://chat.example.com` is a URL, not a hostname\n  \
                 hint: write `chat.example.com`",
            ),
            (
                server_error("ftp://a.example.com"),
                "error[invalid-url]: scheme `ftp` is not supported\n  hint: use `https` or `http`",
            ),
        ];
        for (error, expected) in table {
            assert_eq!(render(&error.unwrap()), expected);
        }
        assert_eq!((address_error("chat.example.com/api"), server_error("http://10.0.0.1:8080")), (None, None));
    }
}
