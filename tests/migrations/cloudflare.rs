//! The commands that talk to Cloudflare, and the clicks in its dashboard, on a local account.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::workerd::BuiltWorker;

use crate::account::{Code, NEW_TUNNEL, Rule, Tunnel, Version, Worker, configuration};
use crate::edge::Edge;

/// Cloudflare, as a user of one account sees it.
#[derive(Clone)]
pub(crate) struct Cloudflare {
    edge: Edge,
    worker: BuiltWorker,
    pub(crate) log: Log,
}

impl Cloudflare {
    /// Creates an account with the built Worker as the result of each build.
    pub(crate) fn new(edge: Edge, worker: BuiltWorker) -> Self {
        Self { edge, worker, log: Log::default() }
    }

    /// Deploys a version of a Worker.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn deploy(&self, name: &str, code: Code) -> Result<(), String> {
        let mut worker = self.worker.clone().with_module().with_outbound(self.edge.addresses().origin);
        for (name, value) in self.edge.account().workers.get(name).iter().flat_map(|worker| &worker.secrets) {
            worker = worker.with_secret(name, value);
        }
        let (address, process) = match &code {
            Code::Balancer(map) => worker.start(map, 0, &self.log).await?,
            Code::Script(script) => worker.start_script(script, &self.log).await?,
        };
        let mut account = self.edge.account();
        let deployed: &mut Worker = account.workers.entry(name.to_owned()).or_default();
        // Requests of the previous version may be in flight.
        deployed.versions.iter_mut().rev().skip(1).for_each(|version| version.process = None);
        deployed.versions.push(Version { code, address, process: Some(process) });
        Ok(())
    }

    /// Runs `npx ARGUMENTS...` in a directory.
    ///
    /// # Errors
    /// The message of wrangler.
    pub(crate) async fn npx(&self, arguments: &[&str], directory: &Path, input: &str) -> Result<String, String> {
        let read = |name: &str| fs::read_to_string(directory.join(name)).map_err(|error| format!("{name}: {error}"));
        let toml = read("wrangler.toml")?;
        let name = values(&toml, "name").first().cloned().ok_or("no name in wrangler.toml")?;
        let arguments = match arguments {
            [arguments @ .., "--config", "wrangler.toml"] => arguments,
            arguments => arguments,
        };
        match arguments {
            ["wrangler", "deploy"] => {
                self.deploy(&name, Code::Balancer(read("services.yaml")?)).await?;
                let patterns = values(&toml, "pattern");
                let mut account = self.edge.account();
                let taken = |pattern: &&String| account.routes.get(*pattern).is_some_and(|other| *other != name);
                if let Some(pattern) = patterns.iter().find(taken) {
                    return Err(format!("Can't deploy routes that are assigned to another worker: {pattern}"));
                }
                if !patterns.is_empty() {
                    // wrangler replaces the routes of the Worker, unless the file has none.
                    account.routes.retain(|_, other| *other != name);
                }
                account.routes.extend(patterns.iter().map(|pattern| (pattern.clone(), name.clone())));
                let zones = values(&toml, "zone_name");
                let routes =
                    patterns.iter().zip(&zones).map(|(pattern, zone)| format!("  {pattern} (zone name: {zone})\n"));
                let routes: String = routes.collect();
                Ok(format!("Uploaded {name}\nDeployed {name} triggers\n{routes}Current Version ID: 0\n"))
            }
            ["wrangler", "secret", "put", secret] => {
                let code = {
                    let mut account = self.edge.account();
                    let worker = account.workers.get_mut(&name).ok_or("the Worker does not exist")?;
                    worker.secrets.retain(|(other, _)| other != secret);
                    worker.secrets.push(((*secret).to_owned(), input.trim_end().to_owned()));
                    worker.versions.last().map(|version| version.code.clone()).ok_or("no version")?
                };
                self.deploy(&name, code).await?;
                Ok(format!("Success! Uploaded secret {secret}\n"))
            }
            ["wrangler", "secret", "list"] => {
                let account = self.edge.account();
                let worker = account.workers.get(&name).ok_or("Worker not found [code: 10007]")?;
                let secrets: Vec<Value> = worker.secrets.iter().map(|(name, _)| json!({ "name": name })).collect();
                Ok(format!("{}\n", json!(secrets)))
            }
            ["wrangler", "deployments", "status", "--json"] => {
                let account = self.edge.account();
                let worker = account.workers.get(&name).ok_or("Worker not found [code: 10007]")?;
                let version = json!({ "version_id": worker.versions.len().to_string(), "percentage": 100 });
                Ok(format!("{}\n", json!({ "versions": [version] })))
            }
            ["wrangler", "rollback"] => {
                let code = {
                    let account = self.edge.account();
                    let mut versions = account.workers.get(&name).ok_or("no Worker")?.versions.iter().rev().skip(1);
                    versions.next().ok_or("could not find stable Worker Version to rollback to")?.code.clone()
                };
                self.deploy(&name, code).await?;
                Ok("SUCCESS  Worker Version 0 has been deployed to 100% of traffic.\n".to_owned())
            }
            _ => Err(format!("unknown arguments {arguments:?}")),
        }
    }

    /// Runs `cloudflared ARGUMENTS...` in a directory of the own computer.
    ///
    /// # Errors
    /// The message of cloudflared.
    pub(crate) fn cloudflared(&self, arguments: &[&str], directory: &Path) -> Result<String, String> {
        let mut account = self.edge.account();
        match arguments {
            ["tunnel", "create", "--credentials-file", file, name] => {
                let path = directory.join(file);
                if path.exists() || account.tunnels.contains_key(*name) {
                    return Err(format!("{file} or the tunnel {name} exists"));
                }
                fs::write(path, json!({ "TunnelID": NEW_TUNNEL }).to_string()).map_err(|error| error.to_string())?;
                let tunnel = Tunnel { id: NEW_TUNNEL.to_owned(), ..Tunnel::default() };
                account.tunnels.insert((*name).to_owned(), tunnel);
                Ok(format!("Tunnel credentials written to {file}.\n\nCreated tunnel {name} with id {NEW_TUNNEL}\n"))
            }
            ["tunnel", "delete", name] => match account.tunnels.remove(*name) {
                Some(tunnel) if tunnel.connectors.is_empty() => Ok(String::new()),
                _ => Err(format!("the tunnel {name} has active connections, or does not exist")),
            },
            ["tunnel", "route", "dns", name, host] => {
                let tunnel = account.tunnel(name).ok_or_else(|| format!("unknown tunnel {name}"))?;
                if account.records.insert((*host).to_owned(), tunnel).is_some() {
                    return Err(format!("a record with the host {host} exists"));
                }
                Ok(format!("INF Added CNAME {host} which will route to this tunnel\n"))
            }
            _ => Err(format!("unknown arguments {arguments:?}")),
        }
    }

    /// Runs `curl -s ARGUMENTS...` in a directory: a request to the configuration of a tunnel.
    ///
    /// # Errors
    /// If there is no such API, or the request is invalid.
    pub(crate) fn curl(&self, arguments: &[&str], directory: &Path) -> Result<String, String> {
        let (mut method, mut body, mut url, mut is_authorized) = ("GET", None, "", false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "-s" => {}
                "-X" => method = rest.next().ok_or("no method")?,
                "-H" => is_authorized |= rest.next() == Some(&"Authorization: Bearer token-of-the-api"),
                "--data" => body = rest.next().and_then(|file| file.strip_prefix('@')),
                _ => url = argument,
            }
        }
        let path = url.strip_prefix("https://api.cloudflare.com/client/v4/accounts/").filter(|_| is_authorized);
        let [_, "cfd_tunnel", id, "configurations"] = path.unwrap_or_default().split('/').collect::<Vec<_>>()[..]
        else {
            return Err(format!("unknown or unauthorized: {arguments:?}"));
        };
        let mut account = self.edge.account();
        let tunnel = account.tunnels.values_mut().find(|tunnel| tunnel.id == id).ok_or("no such tunnel")?;
        let rules = tunnel.dashboard.as_mut().ok_or("the tunnel has a file")?;
        if method == "PUT" {
            let file = directory.join(body.ok_or("no body")?);
            *rules = configuration(&fs::read_to_string(file).map_err(|error| error.to_string())?)?;
        }
        let rule = |(hostname, service): &Rule| match hostname {
            Some(hostname) => json!({ "hostname": hostname, "service": service, "originRequest": {} }),
            None => json!({ "service": service }),
        };
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        let result = json!({ "tunnel_id": id, "version": 1, "config": { "ingress": rules }, "source": "cloudflare" });
        Ok(format!("{}\n", json!({ "success": true, "errors": [], "messages": [], "result": result })))
    }

    /// Performs one line of a `dashboard` block.
    ///
    /// # Errors
    /// If there is no such element in the dashboard.
    pub(crate) fn click(&self, line: &str) -> Result<(), String> {
        let mut account = self.edge.account();
        let deleted = match line.split(" > ").collect::<Vec<_>>()[..] {
            ["example.com", "DNS", "Records", host, "Delete"] => account.records.remove(host).is_some(),
            ["example.com", "Workers Routes", pattern, "Delete"] => account.routes.remove(pattern).is_some(),
            ["Networking", "Tunnels", name, "Routes", host, "Delete"] => {
                let rules = account.tunnels.get_mut(name).and_then(|tunnel| tunnel.dashboard.as_mut());
                let rules = rules.ok_or("the tunnel has a file, or does not exist")?;
                let before = rules.len();
                rules.retain(|(hostname, _)| hostname.as_deref() != Some(host));
                rules.len() < before
            }
            ["Networking", "Tunnels", name, "Routes", "Add route", application] => {
                let application = application.strip_prefix("Published application: ").ok_or("another kind of route")?;
                let (host, service) = application.split_once(", ").ok_or("no service")?;
                let rules = account.tunnels.get_mut(name).and_then(|tunnel| tunnel.dashboard.as_mut());
                let rules = rules.ok_or("the tunnel has a file, or does not exist")?;
                rules.insert(rules.len() - 1, (Some(host.to_owned()), service.to_owned()));
                return match account.records.insert(host.to_owned(), name.to_owned()) {
                    None => Ok(()),
                    Some(_) => Err(format!("a record with the host {host} exists")),
                };
            }
            _ => return Err(format!("unknown element: {line}")),
        };
        if deleted { Ok(()) } else { Err(format!("nothing to delete: {line}")) }
    }
}

/// Returns the values of a key in a TOML file whose lines are simple, without comments.
fn values(toml: &str, key: &str) -> Vec<String> {
    let value = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        (name == key).then(|| value.trim_matches('"').to_owned())
    };
    toml.lines().filter_map(value).collect()
}
