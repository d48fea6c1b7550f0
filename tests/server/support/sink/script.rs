//! What a sink offers, and how it misbehaves.

use std::time::Duration;

use super::super::ca::Identity;

/// What a sink offers and how it misbehaves. `Script::default()` is a good server without TLS.
#[derive(Debug, Clone)]
pub struct Script {
    /// Keywords of the answer to EHLO, with their parameters. STARTTLS and AUTH are not among them: they follow from
    /// `tls` and `login`.
    pub keywords: Vec<String>,
    /// How TLS goes.
    pub tls: Tls,
    /// User and password that must be given before MAIL.
    pub login: Option<(String, String)>,
    /// What goes wrong, and how often.
    pub faults: Vec<Fault>,
    /// Connections that are taken; those that follow are closed without a word.
    pub max_connections: usize,
    /// Messages in one connection; MAIL is answered 421 after that.
    pub max_messages: usize,
    /// Whether commands that come before the last one's answer are lost, as with old servers.
    pub forgets_pipelined: bool,
}

/// How TLS goes at a sink.
#[derive(Debug, Clone)]
pub enum Tls {
    /// There is none.
    None,
    /// STARTTLS, with this certificate.
    Offered(Identity),
    /// From the first byte.
    Implicit(Identity),
    /// STARTTLS is offered and answered 454.
    Refused,
    /// STARTTLS is answered 220, and then comes no TLS.
    Garbage,
    /// STARTTLS is answered 220, and the connection closed.
    Closed,
}

/// Where something goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The greeting.
    Connect,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS.
    StartTls,
    /// AUTH, and its response.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// RCPT with this address.
    RcptOf(String),
    /// DATA.
    Data,
    /// Within the message: only [`Act::Drop`] and [`Act::Delay`] mean something.
    Body,
    /// The message's end, of DATA or the last BDAT. With [`Act::Drop`] its answer is lost: the sink has the message.
    End,
    /// RSET, NOOP.
    Reset,
    /// QUIT.
    Quit,
}

/// What is done instead of answering well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// This reply, one or more lines without the last line's end. The connection is closed after a 421.
    Reply(String),
    /// The connection is closed.
    Drop,
    /// Nothing is ever said again.
    Hang,
    /// A while passes first.
    Delay(Duration),
    /// The answer comes byte by byte, so much between two of them.
    Drip(Duration),
    /// Lines of one reply, without end.
    Flood,
    /// A reply of one line with so many bytes.
    Line(usize),
    /// The answer, and then this reply that nobody has asked for.
    Extra(String),
}

/// A fault, and how often it happens yet.
#[derive(Debug, Clone)]
pub struct Fault {
    at: At,
    act: Act,
    left: usize,
}

impl Default for Script {
    fn default() -> Self {
        let keywords = [
            "PIPELINING",
            "SIZE 104857600",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
        ];
        Script {
            keywords: keywords.map(str::to_owned).to_vec(),
            tls: Tls::None,
            login: None,
            faults: Vec::new(),
            max_connections: usize::MAX,
            max_messages: usize::MAX,
            forgets_pipelined: false,
        }
    }
}

impl Script {
    /// A server of 1982: nothing is offered, and EHLO is unknown.
    pub fn plain() -> Script {
        let script = Script { keywords: Vec::new(), ..Script::default() };
        script.always(At::Ehlo, Act::reply("502 5.5.1 What is EHLO?"))
    }

    /// Offers this as well.
    pub fn offer(mut self, keyword: &str) -> Script {
        self.keywords.push(keyword.to_owned());
        self
    }

    /// Doesn't offer this.
    pub fn without(mut self, keyword: &str) -> Script {
        self.keywords.retain(|k| k.split(' ').next() != Some(keyword));
        self
    }

    /// TLS goes so.
    pub fn tls(self, tls: Tls) -> Script {
        Script { tls, ..self }
    }

    /// Who sends must log in.
    pub fn login(self, user: &str, password: &str) -> Script {
        Script { login: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// This goes wrong once.
    pub fn once(self, at: At, act: Act) -> Script {
        self.times(1, at, act)
    }

    /// This goes wrong always.
    pub fn always(self, at: At, act: Act) -> Script {
        self.times(usize::MAX, at, act)
    }

    /// This goes wrong so many times.
    pub fn times(mut self, left: usize, at: At, act: Act) -> Script {
        self.faults.push(Fault { at, act, left });
        self
    }

    /// What goes wrong there now; it is counted.
    pub(super) fn acts(&mut self, at: &[At]) -> Vec<Act> {
        let mut acts = Vec::new();
        for fault in &mut self.faults {
            if at.contains(&fault.at) && fault.left > 0 {
                fault.left = fault.left.saturating_sub(usize::from(fault.left < usize::MAX));
                acts.push(fault.act.clone());
            }
        }
        acts
    }
}

impl Act {
    /// A reply.
    pub fn reply(text: &str) -> Act {
        Act::Reply(text.to_owned())
    }
}
