//! Errors and warnings about a file, with their positions.

use std::fmt;

/// The errors in a file, in the order of its lines. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.in_file(""))]
pub struct Errors {
    diagnostics: Vec<Diagnostic>,
    suppressed: usize,
}

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The line of the key or value, counted from 1.
    pub line: usize,
    /// The column of its first character, counted from 1.
    pub column: usize,
    /// The column after its last character on that line.
    pub end_column: usize,
    /// Its path in the file, such as `services."git.example.com".servers[1].url`. The path of an
    /// unknown or duplicate key is that of its map. Empty at the top level.
    pub path: String,
    /// What is wrong, without the position.
    pub message: String,
    /// How to correct it, if that is known.
    pub hint: Option<String>,
    /// The kind of error or warning.
    pub code: Code,
    /// Other places that explain it, such as the first of two duplicate keys.
    pub related: Vec<Related>,
}

/// A place that explains a [`Diagnostic`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Related {
    /// The line, counted from 1.
    pub line: usize,
    /// The column of the first character, counted from 1.
    pub column: usize,
    /// The column after the last character on that line.
    pub end_column: usize,
    /// The relation to the diagnostic, such as `first defined here`.
    pub label: String,
}

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably has an unintended effect.
    Warning,
}

/// The kinds of errors and warnings. Their names ([`Code::as_str`]) are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Not a YAML document.
    Syntax,
    /// A file larger than [`MAX_BYTES`](crate::MAX_BYTES).
    TooLarge,
    /// An unknown key.
    UnknownKey,
    /// A duplicate key of a map.
    DuplicateKey,
    /// A missing key.
    MissingKey,
    /// A value of the wrong type, such as a list instead of a string.
    WrongType,
    /// A malformed value of the right type.
    InvalidValue,
    /// A well-formed value that is too small or too large.
    OutOfRange,
    /// Two settings that contradict each other.
    Conflict,
    /// A malformed public address.
    InvalidHost,
    /// A public address that equals an earlier one once it is normalized.
    DuplicateHost,
    /// A malformed address of a server.
    InvalidUrl,
    /// A service without usable servers, with too many, or with duplicates.
    InvalidServers,
    /// Two servers of one service with the same name.
    DuplicateName,
    /// A server that is a public host of the same file.
    Loop,
    /// A setting that the program does not support: see [`parse_for`](crate::parse_for).
    Unsupported,
    /// A secret in plain text.
    InlineSecret,
    /// A reference to a secret that is not set.
    MissingSecret,
    /// A secret that is too short, or cannot be sent in a header.
    InvalidSecret,
    /// A warning: a setting without an effect.
    NoEffect,
    /// A warning: a probe that passes while the tunnel is down.
    IneffectiveProbe,
    /// A warning: no request with an unsafe method can be served.
    NoWrites,
    /// A warning: an address that a Worker cannot connect to, or cannot have itself.
    Unreachable,
    /// A warning: a protocol of which a part cannot be transferred or probed.
    Protocol,
    /// A warning: a hostname with letters of two alphabets, which are easily confused.
    MixedScripts,
    /// A warning: unencrypted requests over the internet.
    InsecureHttp,
    /// A warning: the value of a sensitive header in plain text.
    InlineSecretHeader,
    /// A warning: a URL that is a secret, in plain text.
    InlineSecretUrl,
    /// A warning: more subrequests than Cloudflare's free plan allows.
    FreePlan,
}

impl Code {
    /// All codes, errors first.
    pub const ALL: [Self; Self::FreePlan as usize + 1] = [
        Self::Syntax,
        Self::TooLarge,
        Self::UnknownKey,
        Self::DuplicateKey,
        Self::MissingKey,
        Self::WrongType,
        Self::InvalidValue,
        Self::OutOfRange,
        Self::Conflict,
        Self::InvalidHost,
        Self::DuplicateHost,
        Self::InvalidUrl,
        Self::InvalidServers,
        Self::DuplicateName,
        Self::Loop,
        Self::Unsupported,
        Self::InlineSecret,
        Self::MissingSecret,
        Self::InvalidSecret,
        Self::NoEffect,
        Self::IneffectiveProbe,
        Self::NoWrites,
        Self::Unreachable,
        Self::Protocol,
        Self::MixedScripts,
        Self::InsecureHttp,
        Self::InlineSecretHeader,
        Self::InlineSecretUrl,
        Self::FreePlan,
    ];

    /// Returns the severity of diagnostics with this code.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoEffect
            | Self::IneffectiveProbe
            | Self::NoWrites
            | Self::Unreachable
            | Self::Protocol
            | Self::MixedScripts
            | Self::InsecureHttp
            | Self::InlineSecretHeader
            | Self::InlineSecretUrl
            | Self::FreePlan => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns the name, such as `unknown-key`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TooLarge => "too-large",
            Self::UnknownKey => "unknown-key",
            Self::DuplicateKey => "duplicate-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::InvalidValue => "invalid-value",
            Self::OutOfRange => "out-of-range",
            Self::Conflict => "conflict",
            Self::InvalidHost => "invalid-host",
            Self::DuplicateHost => "duplicate-host",
            Self::InvalidUrl => "invalid-url",
            Self::InvalidServers => "invalid-servers",
            Self::DuplicateName => "duplicate-name",
            Self::Loop => "loop",
            Self::Unsupported => "unsupported",
            Self::InlineSecret => "inline-secret",
            Self::MissingSecret => "missing-secret",
            Self::InvalidSecret => "invalid-secret",
            Self::NoEffect => "no-effect",
            Self::IneffectiveProbe => "ineffective-probe",
            Self::NoWrites => "no-writes",
            Self::Unreachable => "unreachable",
            Self::Protocol => "protocol",
            Self::MixedScripts => "mixed-scripts",
            Self::InsecureHttp => "insecure-http",
            Self::InlineSecretHeader => "inline-secret-header",
            Self::InlineSecretUrl => "inline-secret-url",
            Self::FreePlan => "free-plan",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Severity {
    /// Returns `error` or `warning`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Errors {
    /// The largest number of errors that are reported; further ones are counted.
    pub const MAX_DIAGNOSTICS: usize = 50;

    pub(crate) const fn new(diagnostics: Vec<Diagnostic>, suppressed: usize) -> Self {
        Self { diagnostics, suppressed }
    }

    /// Returns the reported errors, at most [`MAX_DIAGNOSTICS`](Self::MAX_DIAGNOSTICS).
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Returns the number of further errors.
    pub const fn suppressed(&self) -> usize {
        self.suppressed
    }

    /// Returns the output of `Display`, with the name of the file before each position.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        InFile { errors: self, file }
    }
}

struct InFile<'a> {
    errors: &'a Errors,
    file: &'a str,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.errors.diagnostics.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let colon = if self.file.is_empty() { "" } else { ":" };
            write!(f, "{newline}{}{colon}{diagnostic}", self.file)?;
        }
        match self.errors.suppressed {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// Writes the position, the message, and below them related places and the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, path, message, hint, code, related, .. } = self;
        write!(f, "{line}:{column}: {}[{code}]: {message}", code.severity())?;
        if !path.is_empty() {
            write!(f, " at {path}")?;
        }
        for Related { line, column, label, .. } in related {
            write!(f, "\n  note: {label} at {line}:{column}")?;
        }
        hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}
