//! The steps of `cargo xtask test`.

/// One step. The variants are in the order in which they run, the quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Fmt,
    Words,
    Clippy,
    Build,
    Unit,
    WasmImports,
    Doc,
    Features,
    PublicApi,
    Package,
    Conformance,
    Bench,
    Wrangler,
    Deny,
    Site,
    StatusPage,
    Browser,
    Apps,
    Journey,
    Static,
    Platforms,
    Pingora,
}

impl Step {
    /// All steps, in order.
    pub(crate) const ALL: [Self; 22] = [
        Self::Fmt,
        Self::Words,
        Self::Clippy,
        Self::Build,
        Self::Unit,
        Self::WasmImports,
        Self::Doc,
        Self::Features,
        Self::PublicApi,
        Self::Package,
        Self::Conformance,
        Self::Bench,
        Self::Wrangler,
        Self::Deny,
        Self::Site,
        Self::StatusPage,
        Self::Browser,
        Self::Apps,
        Self::Journey,
        Self::Static,
        Self::Platforms,
        Self::Pingora,
    ];

    /// Returns whether it runs only when it is named. These need more of the machine than a
    /// contributor should have to install.
    pub(crate) fn opt_in(self) -> bool {
        matches!(
            self,
            Self::StatusPage
                | Self::Browser
                | Self::Apps
                | Self::Journey
                | Self::Static
                | Self::Platforms
                | Self::Pingora
        )
    }

    /// Returns whether the arguments behind `--` select a part of it.
    pub(crate) fn takes_filter(self) -> bool {
        matches!(self, Self::Unit | Self::Conformance | Self::Words | Self::StatusPage | Self::Apps)
    }

    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        self.describe().0
    }

    /// What it checks, in one line.
    pub(crate) fn about(self) -> &'static str {
        self.describe().1
    }

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Fmt => ("fmt", "the source is formatted"),
            Self::Words => ("words", "no forbidden word, long line or long file"),
            Self::Clippy => ("clippy", "no lint warns"),
            Self::Build => ("build", "the Worker builds and is small enough"),
            Self::Unit => ("unit", "unit tests and documentation examples, all features"),
            Self::WasmImports => ("wasm-imports", "the core, compiled to wasm, imports nothing"),
            Self::Doc => ("doc", "the documentation builds without a warning"),
            Self::Features => ("features", "the libraries build with each selection of their features"),
            Self::PublicApi => ("public-api", "the public interface of the libraries is the one that was accepted"),
            Self::Package => ("package", "the libraries can be packed, and build from their packed files"),
            Self::Conformance => ("conformance", "the tests of the built Worker and the built proxy, on real sockets"),
            Self::Bench => ("bench", "a short run of all benchmarks works (it judges no time)"),
            Self::Wrangler => ("wrangler", "`wrangler deploy --dry-run` accepts wrangler.toml and the Worker"),
            Self::Deny => ("deny", "licences, sources, bans and known vulnerabilities of the dependencies"),
            Self::Site => ("site", "the documentation builds as a site, and its links have targets"),
            Self::StatusPage => ("status-page", "the status page in Chromium: states, control, accessibility (opt-in)"),
            Self::Browser => ("browser", "JupyterLab in Chromium continues when its server is killed (opt-in)"),
            Self::Journey => ("journey", "from `npm create` to a failover in a chroot with Node: needs root (opt-in)"),
            Self::Static => ("static", "the container's root file system in a bare chroot: needs root (opt-in)"),
            Self::Platforms => ("platforms", "the programs compile for Windows and macOS, without a linker (opt-in)"),
            Self::Pingora => ("pingora", "the example on Pingora, which compiles for six minutes (opt-in)"),
            Self::Apps => ("apps", "applications and their clients while the primary fails: a table (opt-in)"),
        }
    }
}
