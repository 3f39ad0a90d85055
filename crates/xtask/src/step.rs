//! The steps of `cargo xtask test`: their names, their order and one line about each.

/// One step. The order of the variants is the order in which they run: from quick and likely to
/// fail to slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Formatting.
    Fmt,
    /// Lints.
    Clippy,
    /// The Worker builds and is small enough.
    Build,
    /// Unit tests and doc tests.
    Unit,
    /// The core's wasm imports nothing.
    WasmImports,
    /// The documentation builds without a warning.
    Doc,
    /// The conformance suite.
    Conformance,
    /// A deployment, short of uploading.
    Wrangler,
    /// Licences, sources and advisories of the dependencies.
    Deny,
    /// A real application in a real browser.
    Browser,
    /// The wording and the layout of sources and documentation.
    Words,
}

impl Step {
    /// All steps, in order.
    pub(crate) const ALL: [Self; 11] = [
        Self::Fmt,
        Self::Clippy,
        Self::Build,
        Self::Unit,
        Self::WasmImports,
        Self::Doc,
        Self::Conformance,
        Self::Wrangler,
        Self::Deny,
        Self::Browser,
        Self::Words,
    ];

    /// Whether it runs only when it is named. The browser needs more of the machine than a
    /// contributor should have to install, and the words are still being replaced.
    pub(crate) fn opt_in(self) -> bool {
        matches!(self, Self::Browser | Self::Words)
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Unit => "unit",
            Self::WasmImports => "wasm-imports",
            Self::Doc => "doc",
            Self::Conformance => "conformance",
            Self::Wrangler => "wrangler",
            Self::Deny => "deny",
            Self::Browser => "browser",
            Self::Words => "words",
        }
    }

    /// What it checks, in one line.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Fmt => "the source is formatted",
            Self::Clippy => "no lint warns",
            Self::Build => "the Worker builds and is small enough",
            Self::Unit => "unit tests and documentation examples, all features",
            Self::WasmImports => "the core, compiled to wasm, imports nothing: no clock, no I/O, no JavaScript",
            Self::Doc => "the documentation builds without a warning",
            Self::Conformance => "the conformance suite, on real sockets, the built Worker and the built proxy",
            Self::Wrangler => "`wrangler deploy --dry-run` accepts wrangler.toml and the Worker",
            Self::Deny => "licences, sources, bans and known vulnerabilities of the dependencies",
            Self::Browser => "JupyterLab in Chromium goes on when its server is killed (runs only by name)",
            Self::Words => "no forbidden word, long line or long file (runs only by name)",
        }
    }
}
