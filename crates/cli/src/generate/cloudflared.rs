//! `generate cloudflared`: the `config.yml` of a tunnel, new or completed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use tunnel_balancer_config::{redact_urls, yaml_scalar};

use super::ingress_edit::{self, NewRule};
use super::service_url::{self, ServiceUrl, service_url};
use super::{Output, skipped_comments};
use crate::cloudflared::{IngressFile, NotTunneled, RouteOutcome, TunnelHost, route, tunnel_hosts};
use crate::input;
use crate::map_file::{self, MapFile};
use crate::replace::{check_editable, replace};
use crate::tunnel::{Tunnels, warn_of_shared};

/// The rules of a tunnel's `config.yml`: one for each server's hostname.
///
/// --into adds the missing rules to an existing file and keeps the rest of it. Without --into and
/// --output-dir a new file is printed. A tunnel that is configured in the dashboard has no file:
/// add the hostnames there. `tunnel-balancer check --cloudflared config.yml` lists what is missing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' --into config.yml
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' --tunnel 'office=*-b.example.com' \
      --output-dir tunnels
  tunnel-balancer generate cloudflared --tunnel 'home=*-a.example.com' \
      --service-url chat.example.com=http://localhost:3000 --into config.yml

Exit codes: 0 generated; 2 errors in a file or the command.")]
pub(super) struct Cloudflared {
    #[command(flatten)]
    map: MapFile,

    #[command(flatten)]
    tunnels: Tunnels,

    /// Add the missing rules to this file, before its last rule. A new file is created.
    #[arg(long, value_name = "CONFIG", conflicts_with = "output_dir")]
    into: Option<PathBuf>,

    /// Write a file for each --tunnel, named after it, into this directory. Missing rules are added
    /// to files that exist.
    #[arg(long, value_name = "DIRECTORY")]
    output_dir: Option<PathBuf>,

    /// Where the application of a server or public host listens, as cloudflared reaches it; without
    /// HOST, that of all others. Can be repeated. By default, the rules of the public host in the
    /// file of --into are copied, or the URL is taken from the comments that `import` writes.
    #[arg(long, value_name = "[HOST=]URL", value_parser = service_url)]
    service_url: Vec<ServiceUrl>,

    /// Send the public hostname in `Host`, for applications that build links or choose sites by it.
    /// By default they get the host that `host_header` sets in the map, or the server's hostname.
    #[arg(long)]
    host_header: bool,
}

/// A file and its new content.
struct Change {
    path: PathBuf,
    /// `None`: nothing is missing.
    text: Option<String>,
    report: Vec<String>,
}

impl Cloudflared {
    pub(super) fn generate(&self) -> Result<Output, String> {
        let services_yaml = input::yaml(self.map.path())?;
        let (hosts, not_tunneled) = tunnel_hosts(&map_file::load_text(self.map.path(), &services_yaml)?);
        let file = self.map.name();
        service_url::check_hosts(&self.service_url, &hosts, &file)?;
        let mut skipped: Vec<String> = not_tunneled.iter().map(NotTunneled::to_string).collect();
        let mut tunnels: Vec<(Option<&str>, Vec<&TunnelHost>)> = Vec::new();
        for (tunnel, hosts) in self.tunnels.each(&hosts, &file)? {
            tunnels.push((Some(&tunnel.name), hosts));
        }
        if tunnels.is_empty() {
            tunnels.push((None, hosts.iter().collect()));
        } else {
            let unclaimed = hosts.iter().filter(|host| self.tunnels.of(host).is_none());
            skipped.extend(unclaimed.map(|host| format!("{} (matches no --tunnel)", host.host)));
        }
        tunnels.iter().for_each(|(name, hosts)| warn_of_shared(*name, hosts));
        let rules =
            |hosts: &[&TunnelHost]| hosts.iter().map(|host| self.rule(host, &services_yaml)).collect::<Vec<_>>();
        if let Some(directory) = &self.output_dir {
            let path = |name: Option<&str>| directory.join(format!("{}.yml", name.unwrap_or("config")));
            let changes =
                tunnels.iter().map(|(name, hosts)| self.change(path(*name), *name, hosts, rules(hosts), &mut skipped));
            let changes = changes.collect::<Result<Vec<_>, _>>()?;
            let created = fs::create_dir_all(directory);
            created.map_err(|error| format!("error: cannot create {}: {error}", directory.display()))?;
            return Ok(Output { text: write(&changes)?, skipped });
        }
        let [(name, hosts)] = &tunnels[..] else {
            return Err(
                "error: several tunnels need several files, as cloudflared reads only one document of each\n  \
                        hint: write a file for each with `--output-dir DIRECTORY`"
                    .to_owned(),
            );
        };
        match &self.into {
            Some(path) => {
                let change = self.change(path.clone(), *name, hosts, rules(hosts), &mut skipped)?;
                Ok(Output { text: write(&[change])?, skipped })
            }
            None => {
                Ok(Output { text: self.new_file(*name, &rules(hosts)) + &skipped_comments("#", &skipped), skipped })
            }
        }
    }

    fn rule(&self, host: &TunnelHost, services_yaml: &str) -> NewRule {
        let host_headers = if self.host_header { &host.public } else { &host.host_headers };
        NewRule {
            hostname: host.host.clone(),
            comment: host.to_string(),
            given: service_url::given_for(&self.service_url, host).map(str::to_owned),
            known: service_url::remembered(services_yaml, &host.host)
                .or_else(|| service_url::given_for_all(&self.service_url))
                .map(str::to_owned),
            public: host.public.iter().cloned().collect(),
            host_headers: host_headers.iter().cloned().collect(),
        }
    }

    /// Returns a file without the rules that it has already.
    fn change(
        &self,
        path: PathBuf,
        tunnel: Option<&str>,
        hosts: &[&TunnelHost],
        mut rules: Vec<NewRule>,
        skipped: &mut Vec<String>,
    ) -> Result<Change, String> {
        let name = path.display().to_string();
        let Some(text) = existing(&path)? else {
            let text = Some(self.new_file(tunnel, &rules));
            let added = rules.iter().map(|rule| format!("{name}: added {}", rule.summary(None, rule.service())));
            let report = std::iter::once(format!("{name}: created")).chain(added).collect();
            return Ok(Change { path, text, report });
        };
        let file = IngressFile::parse(&name, &text)?;
        rules.retain(|rule| {
            let outcome = hosts.iter().find(|host| host.host == rule.hostname).map(|host| route(&file.ingress, host));
            let reason = match outcome {
                Some(RouteOutcome::Rejected(other)) => format!("line {} is a rule for another service", other.line),
                Some(RouteOutcome::PartlyServed(other)) => {
                    format!("line {} is a rule for some of its paths", other.line)
                }
                Some(RouteOutcome::NoRule) => return true,
                _ => return false,
            };
            skipped.push(format!("{} ({name}: {reason})", rule.hostname));
            false
        });
        if rules.is_empty() {
            let report = vec![format!("{name}: nothing to add")];
            return Ok(Change { path, text: None, report });
        }
        let edit = ingress_edit::add(&name, &text, &file.ingress, &rules)?;
        let report = edit.added.iter().map(|added| format!("{name}: added {added}")).collect();
        Ok(Change { path, text: Some(edit.text), report })
    }

    fn new_file(&self, tunnel: Option<&str>, rules: &[NewRule]) -> String {
        let of = tunnel.map_or_else(|| "a tunnel".to_owned(), |name| format!("the tunnel {name}"));
        let mut yaml = format!(
            "# The configuration of {of} for cloudflared, generated from {}.\n\
             # To check it: cloudflared tunnel ingress validate\n\
             # TODO: the tunnel's ID, from `cloudflared tunnel list`\n\
             #tunnel: <TUNNEL-ID>\n\
             #credentials-file: /etc/cloudflared/<TUNNEL-ID>.json\n\ningress:\n",
            self.map.name()
        );
        rules.iter().for_each(|rule| yaml += &rule.lines("  ", None, rule.service()));
        yaml + "  # cloudflared requires a last rule that matches every request.\n  - service: http_status:404\n"
    }
}

/// Returns the content of a file, if it exists and is not blank.
fn existing(path: &Path) -> Result<Option<String>, String> {
    check_editable(path)?;
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => Ok(Some(input::yaml(path)?).filter(|text| !text.trim().is_empty())),
    }
}

/// Writes the files and returns a report.
fn write(changes: &[Change]) -> Result<String, String> {
    let mut report = String::new();
    for Change { path, text, report: lines } in changes {
        if let Some(text) = text {
            replace(path, text)?;
        }
        lines.iter().for_each(|line| report += &format!("{line}\n"));
    }
    if changes.iter().any(|change| change.text.is_some()) {
        report += "Next: restart cloudflared, and create the DNS records (`tunnel-balancer generate dns`).\n";
    }
    Ok(report)
}

/// The service of a rule whose application is not known.
pub(super) const UNKNOWN_SERVICE: &str = "http://localhost:8080";

impl NewRule {
    /// Returns the service, and whether it is known.
    pub(super) fn service(&self) -> (&str, bool) {
        let known = self.given.as_deref().or(self.known.as_deref());
        known.map_or((UNKNOWN_SERVICE, false), |service| (service, true))
    }

    /// Returns an entry of the report.
    pub(super) fn summary(&self, path: Option<&str>, (service, is_known): (&str, bool)) -> String {
        let path = path.map_or_else(String::new, |path| format!(" (path {path})"));
        let todo = if is_known { "" } else { " (TODO: set where the application listens)" };
        format!("{}{path}: {}{todo}", self.hostname, redact_urls(service))
    }

    /// Returns the lines of the rule in a list that is indented by `indent`.
    pub(super) fn lines(&self, indent: &str, path: Option<&str>, (service, is_known): (&str, bool)) -> String {
        let todo = if is_known { "" } else { " # TODO: where the application listens" };
        let (hostname, service) = (yaml_scalar(&self.hostname), yaml_scalar(service));
        let path = path.map_or_else(String::new, |path| format!("{indent}  path: {}\n", yaml_scalar(path)));
        let mut yaml = format!(
            "{indent}# {}\n{indent}- hostname: {hostname}\n{path}{indent}  service: {service}{todo}\n",
            self.comment
        );
        match &self.host_headers[..] {
            [] => {}
            [wildcard] if wildcard.contains('*') => {
                yaml += &format!("{indent}  # No httpHostHeader, as {wildcard} is not one hostname.\n");
            }
            [public] => {
                yaml += &format!(
                    "{indent}  originRequest:\n{indent}    # The hostname that the application gets in `Host`.\n\
                     {indent}    httpHostHeader: {}\n",
                    yaml_scalar(public)
                );
            }
            several => {
                yaml += &format!(
                    "{indent}  # No httpHostHeader, as the public hosts are {}: give each a server hostname of its \
                    own.\n",
                    several.join(" and ")
                );
            }
        }
        yaml
    }
}
