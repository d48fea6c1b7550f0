//! Why an exchange failed, and what the caller does about it.

/// Why an exchange failed. The texts are for the log; the client hears only what [`Reason::fault`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The client sent `*`.
    #[error("the client cancelled")]
    Cancelled,
    /// The line is not canonical base64.
    #[error("the response is not base64")]
    NotBase64,
    /// A line, a message, a name or a password is longer than this server reads.
    #[error("the response is too long")]
    TooLong,
    /// The message does not follow the mechanism's grammar; the text names the part that is wrong.
    #[error("the response is malformed: {0}")]
    Malformed(&'static str),
    /// The client insists on an extension, and SCRAM has none so far (RFC 5802 §5.1, attribute `m`).
    #[error("the client asks for an unknown SCRAM extension")]
    UnknownExtension,
    /// The client asks for a binding that this connection does not have, or for one without choosing PLUS, or
    /// chose PLUS without one.
    #[error("the client asks for a channel binding that is not offered here")]
    BindingNotOffered,
    /// The client's end of the channel is not ours: someone sits between.
    #[error("the channel bindings differ: the connection may be intercepted")]
    BindingDiffers,
    /// The client believes that this server has no PLUS although it announced it (RFC 5802 §6): someone
    /// changed the list on its way.
    #[error("the announced mechanisms were tampered with: the connection may be intercepted")]
    Downgraded,
    /// The client's last message does not answer our challenge.
    #[error("the nonce is not the one of this exchange")]
    WrongNonce,
    /// The name is empty, or SASLprep refuses it.
    #[error("the user name cannot be used")]
    UnusableName,
    /// The password is wrong, or there is no such account.
    #[error("the proof does not match")]
    WrongProof,
    /// The token is not accepted.
    #[error("the token is not accepted")]
    WrongToken,
    /// The system gave no random numbers.
    #[error("no random numbers to be had")]
    NoRandomness,
    /// The exchange was over, or waited for keys: a mistake of the caller.
    #[error("the exchange does not expect a response now")]
    OutOfTurn,
}

/// Whose fault it is: all that a reply needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client does not want to go on: SMTP 501, IMAP BAD, POP3 -ERR. Not a failed login.
    Cancelled,
    /// The client does not speak the mechanism: SMTP 501, IMAP BAD, POP3 -ERR. Not a failed login.
    Syntax,
    /// Not authenticated: SMTP 535, IMAP NO `[AUTHENTICATIONFAILED]`, POP3 -ERR `[AUTH]`. Counts as a failed
    /// login.
    Credentials,
    /// Ours, and it may pass: SMTP 454, IMAP NO `[UNAVAILABLE]`, POP3 -ERR `[SYS/TEMP]`.
    Server,
}

impl Reason {
    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::Cancelled => Fault::Cancelled,
            Self::NotBase64 | Self::TooLong | Self::Malformed(_) | Self::UnknownExtension => Fault::Syntax,
            Self::BindingNotOffered
            | Self::BindingDiffers
            | Self::Downgraded
            | Self::WrongNonce
            | Self::UnusableName
            | Self::WrongProof
            | Self::WrongToken => Fault::Credentials,
            Self::NoRandomness | Self::OutOfTurn => Fault::Server,
        }
    }
}
