//! A name server of the test's own, by UDP on a port of this host: what a zone says, which names fail, who was asked for.
//!
//! The daemon is pointed to it by `update control.dns set servers = array['127.0.0.1:PORT']`. It answers for the whole world:
//! a name that has no record, and none below it, does not exist. Answers must fit into a datagram.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

/// Aliases followed.
const ALIASES: usize = 8;

/// How a name fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The answer is SERVFAIL.
    ServFail,
    /// There is no answer.
    Silent,
}

/// A name server. It ends with this value.
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<Record>>,
    failing: HashMap<String, Failing>,
    secure: Vec<String>,
    questions: HashMap<String, usize>,
}

impl Dns {
    /// Starts one with an empty zone.
    pub async fn start() -> Dns {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let inside = zone.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((size, peer)) = socket.recv_from(&mut buffer).await {
                let Ok(question) = Message::from_bytes(&buffer[..size]) else { continue };
                let answer = inside.lock().unwrap().answer(&question);
                if let Some(answer) = answer {
                    socket.send_to(&answer.to_bytes().unwrap(), peer).await.ok();
                }
            }
        });
        Dns { address, zone, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets records, one a line as in a zone file (`mx.test. 60 IN MX 10 a.test.`); they replace what the same names had
    /// of the same types. In quoted strings and in names, `\032` is a character by its decimal number.
    pub fn set(&self, lines: &str) {
        let mut new: HashMap<(String, RecordType), Vec<Record>> = HashMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.splitn(5, ' ').collect();
            let [owner, ttl, "IN", kind, value] = words[..] else { panic!("this is no record: {line}") };
            let (owner, data) = (name(owner), data(kind, value));
            let record = Record::from_rdata(owner.clone(), ttl.parse().unwrap(), data);
            new.entry((key(&owner), record.record_type())).or_default().push(record);
        }
        self.zone().records.extend(new);
    }

    /// Removes what a name has of a type.
    pub fn remove(&self, owner: &str, kind: &str) {
        self.zone().records.remove(&(key(&name(owner)), kind.parse().unwrap()));
    }

    /// Lets a name fail.
    pub fn fail(&self, owner: &str, how: Failing) {
        self.zone().failing.insert(key(&name(owner)), how);
    }

    /// Answers about a name and all below it are authentic (AD).
    pub fn secure(&self, suffix: &str) {
        self.zone().secure.push(key(&name(suffix)));
    }

    /// How often a name was asked for.
    pub fn questions(&self, owner: &str) -> usize {
        self.zone().questions.get(&key(&name(owner))).copied().unwrap_or_default()
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Zone {
    /// The answer to a question; none where there shall be silence.
    fn answer(&mut self, message: &Message) -> Option<Message> {
        let question = message.queries.first()?;
        let mut owner = key(question.name());
        *self.questions.entry(owner.clone()).or_default() += 1;
        let mut answer = Message::response(message.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = message.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(question.clone());
        match self.failing.get(&owner) {
            Some(Failing::Silent) => return None,
            Some(Failing::ServFail) => {
                answer.metadata.response_code = ResponseCode::ServFail;
                return Some(answer);
            }
            None => {}
        }
        answer.metadata.authentic_data = self.secure.iter().any(|suffix| is_below(&owner, suffix));
        if !self.records.keys().any(|(name, _)| is_below(name, &owner)) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for _ in 0..ALIASES {
            if let Some(records) = self.records.get(&(owner.clone(), question.query_type())) {
                answer.add_answers(records.iter().cloned());
                break;
            }
            let Some(alias) = self.records.get(&(owner.clone(), RecordType::CNAME)) else { break };
            answer.add_answers(alias.iter().cloned());
            let RData::CNAME(target) = &alias[0].data else { break };
            owner = key(&target.0);
        }
        Some(answer)
    }
}

/// Whether a name is another one or below it.
fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// A name as it is compared: in lower case, without the last dot.
fn key(name: &Name) -> String {
    let labels = name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
    labels.collect::<Vec<_>>().join(".")
}

/// Any name, whether a host can be called so or not.
fn name(text: &str) -> Name {
    let labels: Vec<String> = text.split('.').filter(|label| !label.is_empty()).map(unescaped).collect();
    let mut name = Name::from_labels(labels.iter().map(|label| label.as_bytes())).unwrap();
    name.set_fqdn(true);
    name
}

fn data(kind: &str, value: &str) -> RData {
    match kind {
        "A" => RData::A(A(value.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(value.parse().unwrap())),
        "PTR" => RData::PTR(PTR(name(value))),
        "CNAME" => RData::CNAME(CNAME(name(value))),
        "MX" => {
            let (preference, host) = value.split_once(' ').unwrap();
            RData::MX(MX::new(preference.parse().unwrap(), name(host)))
        }
        "TXT" => RData::TXT(TXT::new(strings(value))),
        // What can be written as a zone file has it.
        kind => RData::try_from_str(kind.parse().unwrap(), value).unwrap(),
    }
}

/// The quoted strings of a text.
fn strings(value: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = value.trim();
    while let Some(inside) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (text, after) = inside.split_at(end.unwrap_or_else(|| panic!("a string does not end: {value}")));
        strings.push(unescaped(text));
        rest = after[1..].trim_start();
    }
    assert!(rest.is_empty(), "strings are quoted: {value}");
    strings
}

/// Without escapes: `\032` and `\"`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (c, letters.as_str().get(..3).and_then(|digits| digits.parse::<u8>().ok())) {
            ('\\', Some(code)) => {
                out.push(char::from(code));
                letters.nth(2);
            }
            ('\\', None) => out.extend(letters.next()),
            _ => out.push(c),
        }
    }
    out
}
