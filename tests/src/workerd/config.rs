//! The configuration of workerd, and the modules that the tests add.

use std::net::SocketAddr;

use super::{BUILD, BuiltWorker, COMPATIBILITY_DATE, MODULE, SCRIPT, SOURCES, VARIABLE, WASM};

/// The module that limits subrequests.
pub(super) const LIMIT: &str = "limit.js";

/// The script of a cache that accepts writes, and has no entry.
pub(super) const CACHE_SCRIPT: &str = "export default { fetch: ({ method }) => method === 'PUT'
  ? new Response(null, { status: 204 })
  : new Response(null, { status: 504, headers: { 'CF-Cache-Status': 'MISS' } }) };";

impl BuiltWorker {
    /// Returns the configuration for the Worker.
    pub(super) fn config(&self, port: u16) -> String {
        // The first module is the main one.
        let scripts = self.max_subrequests.map(|_| LIMIT).into_iter().chain(SOURCES).map(str::to_owned);
        let module = |name: String| format!("(name = \"{name}\", esModule = embed \"{name}\"),\n        ");
        let scripts: String = scripts.chain([format!("{BUILD}/{SCRIPT}")]).map(module).collect();
        let variable = format!("(name = \"SERVICES_YAML\", text = embed \"{VARIABLE}\"),\n        ");
        let variable = if self.uses_module { String::new() } else { variable };
        let secret = |(name, value): &(String, String)| format!("(name = \"{name}\", text = \"{value}\"),\n        ");
        let secrets: String = self.secrets.iter().map(secret).collect();
        let cache = if self.has_cache { "cacheApiOutbound = \"cache\"," } else { "" };
        let worker = format!(
            r#"
      modules = [
        {scripts}(name = "{MODULE}", text = embed "{MODULE}"),
        (name = "{BUILD}/{WASM}", wasm = embed "{BUILD}/{WASM}"),
      ],
      bindings = [
        {variable}{secrets}
      ],
      {cache}"#
        );
        config(&worker, self.has_cache, self.outbound, port)
    }

    /// Returns the configuration for a script in place of the Worker.
    pub(super) fn script_config(&self) -> String {
        let worker = format!(r#"modules = [(name = "{SCRIPT}", esModule = embed "{SCRIPT}")],"#);
        config(&worker, false, self.outbound, 0)
    }
}

/// Returns a module that runs the Worker with a limit of subrequests. The message is that of
/// Cloudflare's runtime.
pub(super) fn limiting_module(limit: u32) -> String {
    let [entry, _] = SOURCES;
    format!(
        r#"const send = globalThis.fetch;
let left = {limit};
globalThis.fetch = (...request) =>
  left-- > 0 ? send(...request) : Promise.reject(new Error("Too many subrequests by single Worker invocation."));
export {{ default, Monitor }} from "./{entry}";
"#
    )
}

/// `allow = ["local"]` is loopback only, so a case cannot reach any other host.
fn config(worker: &str, has_cache: bool, outbound: Option<SocketAddr>, port: u16) -> String {
    let outbound = match outbound {
        Some(server) => format!(r#"external = (address = "{server}", http = ())"#),
        None => r#"network = (allow = ["local"])"#.to_owned(),
    };
    let cache = format!(
        r#"(name = "cache", worker = (
      modules = [(name = "cache.js", esModule = embed "cache.js")],
      compatibilityDate = "{COMPATIBILITY_DATE}",
    )),"#
    );
    let cache = if has_cache { cache } else { String::new() };
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      {worker}
      compatibilityDate = "{COMPATIBILITY_DATE}",
      globalOutbound = "outbound",
    )),
    {cache}
    (name = "outbound", {outbound}),
  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "worker")],
);
"#
    )
}
