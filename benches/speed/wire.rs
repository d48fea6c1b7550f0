//! An IMAP client that reads as fast as it can and counts what it reads: answers are checked by number and size, not kept.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::trouble::{Told as _, Trouble, within};

/// No answer may take longer: a million messages have to come within it.
const ANSWER: Duration = Duration::from_secs(300);
/// Read at a time.
const PIECE: usize = 64 * 1024;
/// No line is longer.
const LINE_MAX: usize = 1 << 20;

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where in the buffer the first byte is that was not used yet.
    at: usize,
}

/// What came before the tagged OK, and what the OK said.
#[derive(Default)]
pub struct Answer {
    /// `* n FETCH`
    pub fetches: usize,
    /// `* n EXPUNGE`
    pub expunges: usize,
    /// The last `* n EXISTS`.
    pub exists: Option<usize>,
    /// Numbers in `* SEARCH`.
    pub hits: usize,
    /// Bytes in literals.
    pub literal_bytes: u64,
    /// UIDVALIDITY and HIGHESTMODSEQ, where they were said.
    pub uid_validity: u64,
    /// The number of the last change.
    pub modseq: u64,
    /// `* CAPABILITY`
    pub capabilities: String,
    /// What stands behind the tagged OK.
    pub text: String,
}

impl Answer {
    /// The last number of a response code such as APPENDUID.
    pub fn code(&self, name: &str) -> Option<u32> {
        let (_, rest) = self.text.split_once(name)?;
        rest.split_once(']')?.0.rsplit([' ', ':', ',']).next()?.parse().ok()
    }
}

impl Client {
    /// Connects, and reads the greeting.
    pub async fn connect(port: u16) -> Result<Self, Trouble> {
        let connecting = async { TcpStream::connect(("127.0.0.1", port)).await.told("connect by IMAP") };
        let stream = within(ANSWER, "connecting by IMAP", connecting).await?;
        stream.set_nodelay(true).told("set TCP_NODELAY")?;
        let mut client = Self { stream, buffer: Vec::with_capacity(PIECE), at: 0 };
        let greeting = within(ANSWER, "waiting for the greeting", client.line()).await?;
        match greeting.starts_with(b"* OK") {
            true => Ok(client),
            false => Err(Trouble::broken(format!("IMAP greets with {:?}", shown(&greeting)))),
        }
    }

    /// Connects and logs in.
    pub async fn login(port: u16, user: &str, password: &str) -> Result<Self, Trouble> {
        let mut client = Self::connect(port).await?;
        client.command(&format!("LOGIN {user} {password}")).await?;
        Ok(client)
    }

    /// Sends a command; what was answered, if that is OK.
    pub async fn command(&mut self, text: &str) -> Result<Answer, Trouble> {
        self.write(format!("a {text}\r\n").as_bytes()).await?;
        self.answer(text).await
    }

    /// Sends a command that ends with a literal, and the literal when the server asks for it.
    pub async fn append(&mut self, text: &str, message: &[u8]) -> Result<Answer, Trouble> {
        self.write(format!("a {text} {{{}}}\r\n", message.len()).as_bytes()).await?;
        let go = within(ANSWER, "waiting to send a message", self.line()).await?;
        if !go.starts_with(b"+") {
            return Err(refused(text, &go));
        }
        self.write(message).await?;
        self.write(b"\r\n").await?;
        self.answer(text).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let writing = async { self.stream.write_all(bytes).await.told("send an IMAP command") };
        within(ANSWER, "sending an IMAP command", writing).await
    }

    async fn answer(&mut self, command: &str) -> Result<Answer, Trouble> {
        within(ANSWER, "waiting for an IMAP answer", self.until_tagged(command)).await
    }

    async fn until_tagged(&mut self, command: &str) -> Result<Answer, Trouble> {
        let mut answer = Answer::default();
        loop {
            let mut line = self.line().await?;
            if let Some(rest) = line.strip_prefix(b"a ") {
                let Some(text) = rest.strip_prefix(b"OK") else { return Err(refused(command, &line)) };
                answer.text = shown(text);
                return Ok(answer);
            }
            answer.note(&line);
            while let Some(size) = literal(&line) {
                answer.literal_bytes += size;
                self.skip(size).await?;
                line = self.line().await?;
            }
        }
    }

    /// The next line, its end taken off.
    async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut seen = self.at;
        loop {
            let unseen = self.buffer.get(seen..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', unseen) {
                let line = self.buffer.get(self.at..seen + length).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.at = seen + length + 1;
                return Ok(line);
            }
            if self.buffer.len() - self.at > LINE_MAX {
                return Err(Trouble::broken("an IMAP line without end"));
            }
            let before = self.at;
            seen = self.buffer.len();
            self.fill().await?;
            // What was used up is no longer in front of it.
            seen -= before - self.at;
        }
    }

    /// Passes over the bytes of a literal.
    async fn skip(&mut self, mut size: u64) -> Result<(), Trouble> {
        loop {
            let here = (self.buffer.len() - self.at).min(usize::try_from(size).unwrap_or(usize::MAX));
            self.at += here;
            size -= here as u64;
            if size == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Reads more; the bytes that were used are dropped.
    async fn fill(&mut self) -> Result<(), Trouble> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.reserve(PIECE);
        match self.stream.read_buf(&mut self.buffer).await.told("read from IMAP")? {
            0 => Err(Trouble::broken("the server closed an IMAP session")),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// Takes note of an untagged response.
    fn note(&mut self, line: &[u8]) {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match (first, second) {
            (_, b"FETCH") => self.fetches += 1,
            (_, b"EXPUNGE") => self.expunges += 1,
            (number, b"EXISTS") => self.exists = Some(parsed(number) as usize),
            // "* SEARCH " without a number, as some say for none, has one empty word.
            (b"SEARCH", b"") => {}
            (b"SEARCH", _) => self.hits += 1 + words.filter(|word| !word.is_empty()).count(),
            (b"OK", b"[UIDVALIDITY") => self.uid_validity = words.next().map_or(0, parsed),
            (b"OK", b"[HIGHESTMODSEQ") => self.modseq = words.next().map_or(0, parsed),
            (b"CAPABILITY", _) => self.capabilities = shown(line),
            _ => {}
        }
    }
}

/// The number at the start of a word; 0 when there is none.
fn parsed(word: &[u8]) -> u64 {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

/// The size of the literal that follows a line.
fn literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"}")?;
    let start = memchr::memrchr(b'{', line)?;
    let digits = line.get(start + 1..)?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then(|| parsed(digits))
}

fn refused(command: &str, line: &[u8]) -> Trouble {
    let command: String = command.chars().take(80).collect();
    Trouble::broken(format!("{command} was answered with {:?}", shown(line)))
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
