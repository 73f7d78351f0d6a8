//! How much may a peer ask for?

/// What a connection may send. A declared length beyond a limit is an error at once, so that nobody's
/// announcement costs memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments of one command, its name included.
    pub max_args: usize,
    /// Bytes of one argument (Redis: `proto-max-bulk-len`).
    pub max_bulk: usize,
    /// Bytes of an inline command, and of a line that carries a length, before its line end.
    pub max_inline: usize,
    /// Bytes of one whole command as sent (Redis: `client-query-buffer-limit`); at most 4 GiB - 1.
    pub max_query_buffer: usize,
    /// The client has to authenticate and hasn't: [`Limits::BEFORE_AUTH_ARGS`] and
    /// [`Limits::BEFORE_AUTH_BULK`] hold as well, with error words of their own.
    pub before_auth: bool,
}

impl Limits {
    /// Redis 7's defaults, except that a command has at most 2^20 arguments (Redis before 7; since then 2^31 - 1).
    pub const NORMAL: Limits = Limits {
        max_args: 1024 * 1024,
        max_bulk: 512 * 1024 * 1024,
        max_inline: 64 * 1024,
        max_query_buffer: 1024 * 1024 * 1024,
        before_auth: false,
    };

    /// [`Limits::NORMAL`] for a client that hasn't authenticated yet.
    pub const BEFORE_AUTH: Limits = Limits::NORMAL.before_auth();

    /// Arguments of a multibulk command before AUTH.
    pub const BEFORE_AUTH_ARGS: usize = 10;
    /// Bytes of one argument before AUTH.
    pub const BEFORE_AUTH_BULK: usize = 16 * 1024;
    /// Bytes of one command before AUTH.
    pub const BEFORE_AUTH_QUERY_BUFFER: usize = 1024 * 1024;

    /// These limits, tightened for a client that hasn't authenticated yet.
    pub const fn before_auth(mut self) -> Limits {
        self.before_auth = true;
        if self.max_query_buffer > Self::BEFORE_AUTH_QUERY_BUFFER {
            self.max_query_buffer = Self::BEFORE_AUTH_QUERY_BUFFER;
        }
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::NORMAL
    }
}

/// What a server may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Bytes of one whole reply as sent.
    pub max_bytes: usize,
    /// Bytes of one bulk string.
    pub max_bulk: usize,
    /// Bytes of a simple string, an error or a number.
    pub max_line: usize,
    /// Elements of all aggregates of one reply together (a map's pair counts two).
    pub max_elements: usize,
}

impl ReplyLimits {
    /// Aggregates inside aggregates; Redis itself nests four deep (`COMMAND DOCS`).
    pub const MAX_DEPTH: usize = 32;

    /// Generous limits for a server one trusts.
    pub const NORMAL: ReplyLimits = ReplyLimits {
        max_bytes: 1024 * 1024 * 1024,
        max_bulk: 512 * 1024 * 1024,
        max_line: 64 * 1024,
        max_elements: 16 * 1024 * 1024,
    };
}

impl Default for ReplyLimits {
    fn default() -> Self {
        ReplyLimits::NORMAL
    }
}
