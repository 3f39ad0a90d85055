//! What is wrong with a file, for people to read and for programs to act on.

use std::fmt;

/// Every mistake found in a file, in the order of its lines. There is always at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.in_file(""))]
pub struct Errors {
    diagnostics: Vec<Diagnostic>,
    suppressed: usize,
}

/// One mistake, or one thing that is probably not meant so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Line of the key or value that is wrong, counted from 1.
    pub line: usize,
    /// Column of its first character, counted from 1.
    pub column: usize,
    /// Column behind its last character on that line, for whoever underlines it.
    pub end_column: usize,
    /// Where that is in the file's structure, as in `services."git.example.com".servers[1].url`.
    /// For an unknown or repeated key it is the map that holds the key; at the top level it is
    /// empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, where that can be said.
    pub hint: Option<String>,
    /// The kind of mistake.
    pub code: Code,
}

/// How much is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, and probably does not do what its author wants.
    Warning,
}

/// The kinds of mistakes. Their names ([`Code::as_str`]) stay the same from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// Not a YAML document.
    Syntax,
    /// The whole text is larger than [`MAX_BYTES`](crate::MAX_BYTES).
    TooLarge,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that stands in the same map before.
    DuplicateKey,
    /// A key that must be there and is not.
    MissingKey,
    /// A list where a text is expected and the like.
    WrongType,
    /// The right type, but not written as such a value is.
    InvalidValue,
    /// A well-formed value that is too small or too large.
    OutOfRange,
    /// Two settings that cannot both hold.
    Conflict,
    /// Not the name of a public host.
    InvalidHost,
    /// A public host that was written before in another way.
    DuplicateHost,
    /// Not the address of a server.
    InvalidUrl,
    /// A service without servers that can be used, with too many, or with the same one twice.
    InvalidServers,
    /// Two servers of one service with the same name.
    DuplicateName,
    /// A server that is a public host of the same file.
    Loop,
    /// Something that must be secret and is written out.
    InlineSecret,
    /// A secret that the file refers to and the host does not have.
    MissingSecret,
    /// A warning: a setting that changes nothing where it stands.
    NoEffect,
    /// A warning: a probe that a dead tunnel passes.
    IneffectiveProbe,
    /// A warning: no request that changes something can ever be served.
    NoWrites,
    /// A warning: an address that nobody can connect to.
    Unreachable,
    /// A warning: requests cross the open internet without encryption.
    InsecureHttp,
    /// A warning: a header that usually holds a secret is written out.
    InlineSecretHeader,
}

impl Code {
    /// All of them, errors first.
    pub const ALL: [Self; Self::InlineSecretHeader as usize + 1] = [
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
        Self::InlineSecret,
        Self::MissingSecret,
        Self::NoEffect,
        Self::IneffectiveProbe,
        Self::NoWrites,
        Self::Unreachable,
        Self::InsecureHttp,
        Self::InlineSecretHeader,
    ];

    /// How much a mistake of this kind matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoEffect
            | Self::IneffectiveProbe
            | Self::NoWrites
            | Self::Unreachable
            | Self::InsecureHttp
            | Self::InlineSecretHeader => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// The name that is printed, as in `unknown-key`.
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
            Self::InlineSecret => "inline-secret",
            Self::MissingSecret => "missing-secret",
            Self::NoEffect => "no-effect",
            Self::IneffectiveProbe => "ineffective-probe",
            Self::NoWrites => "no-writes",
            Self::Unreachable => "unreachable",
            Self::InsecureHttp => "insecure-http",
            Self::InlineSecretHeader => "inline-secret-header",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Severity {
    /// `error` or `warning`.
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
    /// The largest number of mistakes that are told one by one.
    pub const MAX_DIAGNOSTICS: usize = 50;

    pub(crate) const fn new(diagnostics: Vec<Diagnostic>, suppressed: usize) -> Self {
        Self { diagnostics, suppressed }
    }

    /// The mistakes that are told, at most [`MAX_DIAGNOSTICS`](Self::MAX_DIAGNOSTICS).
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// How many were found beyond those.
    pub const fn suppressed(&self) -> usize {
        self.suppressed
    }

    /// The same text as `Display` gives, with `file` in front of each line number, so that editors
    /// and terminals can jump there.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, path, message, hint, code, .. } = self;
        write!(f, "{line}:{column}: {}[{code}]: {message}", code.severity())?;
        if !path.is_empty() {
            write!(f, " at {path}")?;
        }
        hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}
