//! A name server in the test process, whose answers the test writes: authoritative for everything, by UDP on 127.0.0.1.
//!
//! Zone-file lines say what there is. A name without records of a type has none; a name that has nothing, and nothing below it, does
//! not exist. Names can fail, or stay silent, and can be signed as far as a resolver would say so (the AD flag).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

/// How a name fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failing {
    /// SERVFAIL.
    ServFail,
    /// No answer at all.
    Silent,
}

/// The running server.
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
    asked: HashMap<String, usize>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// Starts one that knows nothing yet.
    pub async fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let task = tokio::spawn(serve(socket, zone.clone()));
        Dns { address, zone, task }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds lines like `mx.test. 60 IN MX 10 a.test.`; what each name had of that type before goes. The text of a TXT record
    /// may stand in quotes, one or several; longer ones are cut into strings.
    pub fn set(&self, lines: &str) {
        let mut new: HashMap<(String, RecordType), Vec<Record>> = HashMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (owner, record) = parse(line);
            new.entry((owner, record.record_type())).or_default().push(record);
        }
        self.zone().records.extend(new);
    }

    /// Takes a name's records of a type away.
    pub fn remove(&self, name: &str, kind: &str) {
        self.zone().records.remove(&(key(name), kind.parse().unwrap()));
    }

    /// Has all questions about a name fail.
    pub fn fail(&self, name: &str, how: Failing) {
        self.zone().failing.insert(key(name), how);
    }

    /// Has a name answer again.
    pub fn mend(&self, name: &str) {
        self.zone().failing.remove(&key(name));
    }

    /// Marks answers about this name and all below it as authentic; empty: all answers.
    pub fn secure(&self, suffix: &str) {
        self.zone().secure.push(key(suffix));
    }

    /// How often a name was asked for.
    pub fn questions(&self, name: &str) -> usize {
        self.zone().asked.get(&key(name)).copied().unwrap_or(0)
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_bytes(&buffer[..length]) else { continue };
        let answer = zone.lock().unwrap().answer(&question);
        if let Some(answer) = answer {
            socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
        }
    }
}

impl Zone {
    fn answer(&mut self, message: &Message) -> Option<Message> {
        let question = message.queries.first()?;
        let mut reply = Message::response(message.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        reply.add_query(question.clone());
        let mut name = written(question.name());
        *self.asked.entry(name.clone()).or_default() += 1;
        match self.failing.get(&name) {
            Some(Failing::Silent) => return None,
            Some(Failing::ServFail) => {
                reply.metadata.response_code = ResponseCode::ServFail;
                return Some(reply);
            }
            None => {}
        }
        reply.metadata.authentic_data = self
            .secure
            .iter()
            .any(|top| top.is_empty() || name == *top || name.ends_with(&format!(".{top}")));
        if !self.exists(&name) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        // Aliases are followed, as a resolver does.
        for _ in 0..10 {
            if let Some(found) = self.records.get(&(name.clone(), question.query_type())) {
                reply.add_answers(found.iter().cloned());
                break;
            }
            let Some([alias]) = self.records.get(&(name.clone(), RecordType::CNAME)).map(Vec::as_slice)
            else {
                break;
            };
            reply.add_answers([alias.clone()]);
            let RData::CNAME(target) = &alias.data else { break };
            name = written(&target.0);
        }
        Some(reply)
    }

    fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.records.keys().any(|(known, _)| known == name || known.ends_with(&below))
    }
}

/// A name as it is looked up: in lower case, without the last dot.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn written(name: &Name) -> String {
    let labels: Vec<_> =
        name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

fn name(text: &str) -> Name {
    let labels = text.trim_end_matches('.').split('.').filter(|label| !label.is_empty());
    let mut name = Name::from_labels(labels.map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    name
}

fn parse(line: &str) -> (String, Record) {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("not a zone-file line: {line}"));
    let (owner, ttl, _, kind, data) = (word(), word(), word(), word(), word());
    let owner = owner.replace("\\032", " ");
    let data = match kind {
        "A" => RData::A(A(data.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(data.parse().unwrap())),
        "PTR" => RData::PTR(PTR(name(data))),
        "CNAME" => RData::CNAME(CNAME(name(data))),
        "MX" => {
            let (preference, host) = data.split_once(' ').unwrap();
            RData::MX(MX::new(preference.parse().unwrap(), name(host)))
        }
        "TXT" => {
            let strings = match data.starts_with('"') {
                true => quoted(data),
                false => vec![data.to_owned()],
            };
            let pieces = strings.iter().flat_map(|text| match text.is_empty() {
                true => vec![&b""[..]],
                false => text.as_bytes().chunks(255).collect(),
            });
            RData::TXT(TXT::from_bytes(pieces.collect()))
        }
        "TLSA" => {
            let fields: Vec<&str> = data.split(' ').collect();
            let number = |at: usize| fields[at].parse::<u8>().unwrap();
            let bytes = (0..fields[3].len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&fields[3][at..at + 2], 16).unwrap());
            RData::TLSA(TLSA::new(number(0).into(), number(1).into(), number(2).into(), bytes.collect()))
        }
        other => panic!("records of type {other} are not known here: {line}"),
    };
    (key(&owner), Record::from_rdata(name(&owner), ttl.parse().unwrap(), data))
}

/// Strings in quotes, with `\ddd` and `\x` for what can't stand as it is (RFC 1035 §5.1).
fn quoted(data: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut open: Option<String> = None;
    let mut chars = data.chars();
    while let Some(c) = chars.next() {
        match (c, &mut open) {
            ('"', None) => open = Some(String::new()),
            ('"', Some(_)) => strings.extend(open.take()),
            ('\\', Some(text)) => match chars.next() {
                Some(first) if first.is_ascii_digit() => {
                    let code: String = [first].into_iter().chain(chars.by_ref().take(2)).collect();
                    text.push(char::from(code.parse::<u8>().unwrap()));
                }
                other => text.extend(other),
            },
            (c, Some(text)) => text.push(c),
            (_, None) => {}
        }
    }
    strings
}
