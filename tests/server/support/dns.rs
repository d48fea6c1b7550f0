//! A name server in the test's own process, which says what the test tells it to, by UDP and by TCP.
//!
//! It plays the resolver that the daemon asks: it follows aliases and says of names under [`Dns::secure`] that their
//! answers are authenticated. What it was not told does not exist.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::txt::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// How a name fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The answer is SERVFAIL.
    ServFail,
    /// There is no answer at all.
    Silent,
}

/// A running name server; it ends with this value.
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Zone {
    records: BTreeMap<(Name, RecordType), Vec<Record>>,
    failing: HashMap<Name, Failing>,
    secure: Vec<Name>,
    questions: HashMap<Name, usize>,
    names: HashSet<Name>,
}

impl Dns {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Dns {
        // The port must be free for both.
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let tasks =
            vec![tokio::spawn(datagrams(udp, zone.clone())), tokio::spawn(connections(tcp, zone.clone()))];
        Dns { address, zone, tasks }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes lines of a zone file with absolute names, `mx.test. 60 IN MX 10 a.test.`; they replace what was there of
    /// the same name and type.
    pub fn set(&self, lines: &str) {
        let (_, sets) = Parser::new(format!("{lines}\n"), None, Some(Name::root()))
            .parse()
            .unwrap_or_else(|error| panic!("no zone file: {error}\n{lines}"));
        let mut zone = self.zone.lock().unwrap();
        for set in sets.values() {
            let key = (set.name().to_lowercase(), set.record_type());
            zone.records.insert(key, set.records_without_rrsigs().cloned().collect());
        }
        zone.know_names();
    }

    /// Takes one away: `remove("mx.test", "MX")`.
    pub fn remove(&self, name: &str, kind: &str) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.remove(&(absolute(name), kind.parse().unwrap()));
        zone.know_names();
    }

    /// From now on questions for this name fail.
    pub fn fail(&self, name: &str, how: Failing) {
        self.zone.lock().unwrap().failing.insert(absolute(name), how);
    }

    /// From now on they are answered again.
    pub fn recover(&self, name: &str) {
        self.zone.lock().unwrap().failing.remove(&absolute(name));
    }

    /// Answers for this name and all below it are authenticated, as a validating resolver would say.
    pub fn secure(&self, suffix: &str) {
        self.zone.lock().unwrap().secure.push(absolute(suffix));
    }

    /// How often this name was asked for, whatever the type.
    pub fn questions(&self, name: &str) -> usize {
        self.zone.lock().unwrap().questions.get(&absolute(name)).copied().unwrap_or_default()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Zone {
    /// A name with something below it exists as well (RFC 8020).
    fn know_names(&mut self) {
        let mut names = HashSet::new();
        for (name, _) in self.records.keys() {
            let mut name = name.clone();
            while !name.is_root() && names.insert(name.clone()) {
                name = name.base_name();
            }
        }
        self.names = names;
    }

    /// `None`: no answer.
    fn answer(&mut self, question: &[u8]) -> Option<Message> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.edns.clone_from(&question.edns);
        answer.queries.push(query.clone());
        let mut at = query.name().to_lowercase();
        *self.questions.entry(at.clone()).or_default() += 1;
        let mut secure = true;
        for _ in 0..8 {
            match self.failing.get(&at) {
                Some(Failing::Silent) => return None,
                Some(Failing::ServFail) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    answer.answers.clear();
                    return Some(answer);
                }
                None => {}
            }
            secure &= self.secure.iter().any(|suffix| suffix.zone_of(&at));
            if let Some(records) = self.records.get(&(at.clone(), query.query_type())) {
                answer.answers.extend(records.iter().cloned());
                break;
            }
            let alias = self.records.get(&(at.clone(), RecordType::CNAME)).and_then(|r| r.first()).cloned();
            match alias {
                Some(alias) => {
                    let RData::CNAME(target) = &alias.data else { unreachable!() };
                    at = target.0.to_lowercase();
                    answer.answers.push(alias);
                }
                None => {
                    if !self.names.contains(&at) {
                        answer.metadata.response_code = ResponseCode::NXDomain;
                    }
                    break;
                }
            }
        }
        let wanted = question.metadata.authentic_data
            || question.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        answer.metadata.authentic_data = secure && wanted;
        Some(answer)
    }
}

async fn datagrams(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = zone.lock().unwrap().answer(&buffer[..length]);
        let Some(mut answer) = answer else { continue };
        let mut bytes = answer.to_vec().unwrap();
        if bytes.len() > 1232 {
            // It has to come by TCP.
            answer.answers.clear();
            answer.metadata.truncation = true;
            bytes = answer.to_vec().unwrap();
        }
        socket.send_to(&bytes, from).await.ok();
    }
}

async fn connections(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, zone.clone()));
        }
    }
}

async fn connection(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let answer = zone.lock().unwrap().answer(&question);
        let Some(answer) = answer else { continue };
        let bytes = answer.to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.ok();
        stream.write_all(&bytes).await.ok();
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name.to_lowercase()).unwrap();
    name.set_fqdn(true);
    name
}
