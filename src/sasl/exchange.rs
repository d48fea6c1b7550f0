//! One authentication exchange, from the command to its outcome.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    binding::Binding,
    keys::ScramKeys,
    mechanism::Mechanism,
    plain::{self, Credentials},
    reason::Reason,
    scram::{Challenged, ClientFirst, Proved},
    secret::Secret,
    token::{self, Bearer},
};

/// What the caller does next.
#[derive(Debug)]
pub enum Step {
    /// Send this (through [`super::encode_challenge`]), read a line, call [`Exchange::step`] with what it
    /// decodes to.
    Challenge(Vec<u8>),
    /// The exchange is over; whether it succeeds, the caller finds out by checking the password.
    NeedPassword {
        /// Whom to act as, where it is someone other than `username`.
        authzid: Option<String>,
        /// Whose password it is, prepared.
        username: String,
        /// The password, as it was sent.
        password: Secret,
    },
    /// Look up the keys of this account, or take [`ScramKeys::fake`], and call [`Exchange::resume_scram`].
    NeedScramKeys {
        /// Whose keys, prepared.
        username: String,
    },
    /// Find out whose this access token is; a wrong one is answered with [`Exchange::refuse_token`].
    NeedTokenUser {
        /// Whom to act as, if that was said.
        authzid: Option<String>,
        /// The token.
        token: Secret,
    },
    /// The client has proved its password. There is nothing left to send but the protocol's own success.
    Done {
        /// Whose password it was, prepared.
        username: String,
        /// Whom to act as, where it is someone other than `username`.
        authzid: Option<String>,
    },
    /// The exchange is over.
    Failed(Reason),
}

/// The server's side of one exchange. The caller has made sure that the mechanism is offered on this
/// connection.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    binding: Binding,
    state: State,
}

/// What is awaited.
#[derive(Debug)]
enum State {
    ClientFirst,
    LoginPassword {
        username: String,
    },
    Keys(ClientFirst),
    Proof(Box<Challenged>),
    /// The empty response to server-final-message: none of SMTP, IMAP and POP3 can send data along with
    /// success, so it goes out as one more challenge (RFC 4954 §4, RFC 9051 §6.2.2, RFC 5034 §4).
    Acknowledgement(Proved),
    Token,
    /// The client answers to the refusal of its token; whatever it says.
    TokenRefused,
    Nothing,
}

impl Exchange {
    /// An exchange that has not begun. `binding` is what was announced: [`Binding::none`] unless PLUS was.
    pub fn new(mechanism: Mechanism, binding: Binding) -> Self {
        Self { mechanism, binding, state: State::ClientFirst }
    }

    /// Begins with the command's initial response, decoded, or with none.
    pub fn begin(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, self.mechanism) {
            (Some(response), _) => self.step(response),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
            // The client speaks first in all others: an empty challenge asks it to (RFC 4422 §5.1).
            (None, _) => Step::Challenge(Vec::new()),
        }
    }

    /// Takes the client's response, decoded.
    pub fn step(&mut self, client: &[u8]) -> Step {
        let outcome =
            match std::mem::replace(&mut self.state, State::Nothing) {
                State::ClientFirst => self.client_first(client),
                State::LoginPassword { username } => plain::password(client)
                    .map(|password| Step::NeedPassword { authzid: None, username, password }),
                State::Proof(challenged) => challenged.prove(client).map(|(message, proved)| {
                    self.state = State::Acknowledgement(proved);
                    Step::Challenge(message)
                }),
                State::Acknowledgement(Proved { username, authzid }) if client.is_empty() => {
                    Ok(Step::Done { username, authzid })
                }
                State::Acknowledgement(_) => Err(Reason::Malformed("the last response is empty")),
                State::TokenRefused => Err(Reason::WrongToken),
                State::Keys(_) | State::Token | State::Nothing => Err(Reason::OutOfTurn),
            };
        outcome.unwrap_or_else(Step::Failed)
    }

    /// Goes on after [`Step::NeedScramKeys`].
    pub fn resume_scram(&mut self, keys: ScramKeys) -> Step {
        let State::Keys(first) = std::mem::replace(&mut self.state, State::Nothing) else {
            return Step::Failed(Reason::OutOfTurn);
        };
        // 144 bits, in characters that need no escape. RFC 5802 §5.1 asks that it never repeats.
        let mut nonce = [0; 18];
        if SystemRandom::new().fill(&mut nonce).is_err() {
            return Step::Failed(Reason::NoRandomness);
        }
        let (message, challenged) = first.challenge(keys, &URL_SAFE_NO_PAD.encode(nonce));
        self.state = State::Proof(Box::new(challenged));
        Step::Challenge(message)
    }

    /// Goes on after [`Step::NeedTokenUser`] with a token that is not accepted; `configuration` is where clients find how
    /// to get another one.
    pub fn refuse_token(&mut self, configuration: &str) -> Step {
        let State::Token = std::mem::replace(&mut self.state, State::TokenRefused) else {
            return Step::Failed(Reason::OutOfTurn);
        };
        Step::Challenge(token::refusal(self.mechanism == Mechanism::XOAuth2, configuration))
    }

    fn client_first(&mut self, client: &[u8]) -> Result<Step, Reason> {
        match self.mechanism {
            Mechanism::Plain => {
                let Credentials { authzid, username, password } = plain::parse(client)?;
                Ok(Step::NeedPassword { authzid, username, password })
            }
            Mechanism::Login => {
                self.state = State::LoginPassword { username: plain::name(client)? };
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => {
                let parse = match self.mechanism {
                    Mechanism::XOAuth2 => token::xoauth2,
                    _ => token::oauth_bearer,
                };
                let Bearer { authzid, token } = parse(client)?;
                self.state = State::Token;
                Ok(Step::NeedTokenUser { authzid, token })
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                let first = ClientFirst::parse(client, self.mechanism, &self.binding)?;
                let username = first.username.clone();
                self.state = State::Keys(first);
                Ok(Step::NeedScramKeys { username })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{keys::mac, prepare_password};
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn challenge(step: Step) -> String {
        match step {
            Step::Challenge(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("no challenge: {other:?}"),
        }
    }

    fn failure(step: Step) -> Reason {
        match step {
            Step::Failed(reason) => reason,
            other => panic!("no failure: {other:?}"),
        }
    }

    fn keys(password: &str) -> ScramKeys {
        ScramKeys::derive(&password.into(), b"some salt", NonZeroU32::new(4096).unwrap())
    }

    fn bound() -> Binding {
        Binding { tls_exporter: Some([7; 32]), tls_server_end_point: Some(vec![9; 48]) }
    }

    /// A SCRAM client: its GS2 header, the data it binds to, and its password.
    struct Client {
        header: &'static str,
        data: Vec<u8>,
        password: &'static str,
    }

    impl Client {
        const BARE: &'static str = "n=alice,r=clientnonce";

        fn first(&self) -> Vec<u8> {
            format!("{}{}", self.header, Self::BARE).into_bytes()
        }

        /// client-final-message, and the server-final-message that a true server answers.
        fn last(&self, server_first: &str) -> (String, String) {
            let mut parts = server_first.split(',');
            let mut value = |name: &str| parts.next().unwrap().strip_prefix(name).unwrap().to_owned();
            let (nonce, salt, iterations) = (value("r="), value("s="), value("i="));
            let mut salted = [0; 32];
            let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
            let (salt, password) = (STANDARD.decode(salt).unwrap(), prepare_password(&self.password.into()));
            ring::pbkdf2::derive(
                algorithm,
                iterations.parse().unwrap(),
                &salt,
                password.expose(),
                &mut salted,
            );
            let client_key = mac(&salted, b"Client Key");
            let stored_key = ring::digest::digest(&ring::digest::SHA256, &client_key);
            let channel = STANDARD.encode([self.header.as_bytes(), &self.data].concat());
            let unproved = format!("c={channel},r={nonce}");
            let said = format!("{},{server_first},{unproved}", Self::BARE);
            let signature = mac(stored_key.as_ref(), said.as_bytes());
            let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
            let server_signature = mac(&mac(&salted, b"Server Key"), said.as_bytes());
            (
                format!("{unproved},p={}", STANDARD.encode(proof)),
                format!("v={}", STANDARD.encode(server_signature)),
            )
        }

        /// The whole exchange with an account whose keys are these.
        fn log_in(&self, mechanism: Mechanism, binding: Binding, keys: ScramKeys) -> Step {
            let mut exchange = Exchange::new(mechanism, binding);
            assert_eq!(challenge(exchange.begin(None)), "");
            match exchange.step(&self.first()) {
                Step::NeedScramKeys { username } => assert_eq!(username, "alice"),
                other => return other,
            }
            let (last, expected) = self.last(&challenge(exchange.resume_scram(keys)));
            match exchange.step(last.as_bytes()) {
                Step::Challenge(message) => assert_eq!(String::from_utf8(message).unwrap(), expected),
                other => return other,
            }
            exchange.step(b"")
        }
    }

    #[test]
    fn scram_refuses_wrong_passwords_and_unknown_accounts() {
        let client = Client { header: "n,,", data: vec![], password: "wrong" };
        let outcome = |keys| failure(client.log_in(Mechanism::ScramSha256, Binding::none(), keys));
        assert_eq!(outcome(keys("right")), Reason::WrongProof);
        assert_eq!(outcome(ScramKeys::fake(b"server secret", "alice")), Reason::WrongProof);
    }

    #[test]
    fn scram_refuses_another_channel() {
        let elsewhere = Client { header: "p=tls-exporter,,", data: vec![8; 32], password: "pw" };
        let outcome = elsewhere.log_in(Mechanism::ScramSha256Plus, bound(), keys("pw"));
        assert_eq!(failure(outcome), Reason::BindingDiffers);
        let other_kind = Client { header: "p=tls-server-end-point,,", data: vec![7; 32], password: "pw" };
        let outcome = other_kind.log_in(Mechanism::ScramSha256Plus, bound(), keys("pw"));
        assert_eq!(failure(outcome), Reason::BindingDiffers);
    }

    #[test]
    fn scram_notices_a_downgrade() {
        let fooled = Client { header: "y,,", data: vec![], password: "pw" };
        assert_eq!(failure(fooled.log_in(Mechanism::ScramSha256, bound(), keys("pw"))), Reason::Downgraded);
        assert!(matches!(
            fooled.log_in(Mechanism::ScramSha256, Binding::none(), keys("pw")),
            Step::Done { .. }
        ));
    }

    #[test]
    fn scram_succeeds() {
        let cases = [
            (Mechanism::ScramSha256, "n,a=boss,", vec![], Some("boss")),
            (Mechanism::ScramSha256, "n,a=alice,", vec![], None),
            (Mechanism::ScramSha256Plus, "p=tls-exporter,,", vec![7; 32], None),
            (Mechanism::ScramSha256Plus, "p=tls-server-end-point,,", vec![9; 48], None),
        ];
        for (mechanism, header, data, expected) in cases {
            let client = Client { header, data, password: "I\u{ad}X" };
            let Step::Done { username, authzid } = client.log_in(mechanism, bound(), keys("IX")) else {
                panic!("{header} failed")
            };
            assert_eq!((username.as_str(), authzid.as_deref()), ("alice", expected), "{header}");
        }
    }

    #[test]
    fn a_proof_serves_once() {
        let client = Client { header: "n,,", data: vec![], password: "pw" };
        let mut first = Exchange::new(Mechanism::ScramSha256, Binding::none());
        first.begin(Some(&client.first()));
        let (last, _) = client.last(&challenge(first.resume_scram(keys("pw"))));
        let mut second = Exchange::new(Mechanism::ScramSha256, Binding::none());
        second.begin(Some(&client.first()));
        second.resume_scram(keys("pw"));
        assert_eq!(failure(second.step(last.as_bytes())), Reason::WrongNonce);
        assert_eq!(failure(second.step(last.as_bytes())), Reason::OutOfTurn);
    }

    #[test]
    fn nothing_is_taken_out_of_turn() {
        let mut exchange = Exchange::new(Mechanism::ScramSha256, Binding::none());
        assert_eq!(failure(exchange.resume_scram(keys("pw"))), Reason::OutOfTurn);
        let mut exchange = Exchange::new(Mechanism::ScramSha256, Binding::none());
        assert!(matches!(exchange.begin(Some(b"n,,n=a,r=b")), Step::NeedScramKeys { .. }));
        assert_eq!(failure(exchange.step(b"c=biws,r=b,p=")), Reason::OutOfTurn);
        let mut exchange = Exchange::new(Mechanism::Plain, Binding::none());
        assert!(matches!(exchange.begin(Some(b"\0a\0b")), Step::NeedPassword { .. }));
        assert_eq!(failure(exchange.step(b"\0a\0b")), Reason::OutOfTurn);
    }

    #[test]
    fn the_last_response_is_empty() {
        let client = Client { header: "n,,", data: vec![], password: "pw" };
        let mut exchange = Exchange::new(Mechanism::ScramSha256, Binding::none());
        exchange.begin(Some(&client.first()));
        let (last, _) = client.last(&challenge(exchange.resume_scram(keys("pw"))));
        challenge(exchange.step(last.as_bytes()));
        assert!(matches!(failure(exchange.step(b"x")), Reason::Malformed(_)));
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut exchange = Exchange::new(Mechanism::Login, Binding::none());
        assert_eq!(challenge(exchange.begin(None)), "Username:");
        assert_eq!(challenge(exchange.step(b"alice")), "Password:");
        let Step::NeedPassword { authzid: None, username, password } = exchange.step(b"pw") else {
            panic!("no credentials")
        };
        assert_eq!((username.as_str(), password.expose()), ("alice", &b"pw"[..]));
        let mut exchange = Exchange::new(Mechanism::Login, Binding::none());
        assert_eq!(challenge(exchange.begin(Some(b"alice"))), "Password:");
        assert!(matches!(failure(exchange.step(b"")), Reason::Malformed(_)));
        let mut exchange = Exchange::new(Mechanism::Login, Binding::none());
        assert_eq!(failure(exchange.begin(Some(b""))), Reason::UnusableName);
    }

    #[test]
    fn plain_asks_first_or_takes_the_initial_response() {
        let mut exchange = Exchange::new(Mechanism::Plain, Binding::none());
        assert_eq!(challenge(exchange.begin(None)), "");
        let Step::NeedPassword { authzid, username, .. } = exchange.step(b"boss\0alice\0pw") else {
            panic!("no credentials")
        };
        assert_eq!((authzid.as_deref(), username.as_str()), (Some("boss"), "alice"));
    }

    /// Messages that get past the first checks: pieces of SCRAM and PLAIN in any order, and any bytes.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "n,,",
                "y,,",
                "p=tls-exporter,,",
                "n=",
                "r=",
                "a=",
                "c=biws",
                "p=",
                "m=",
                ",",
                "=2C",
                "=",
                "\0",
                "alice",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_input_panics_or_logs_in(
            mechanism in prop::sample::select(Mechanism::ALL.to_vec()),
            bind in any::<bool>(),
            messages in prop::collection::vec(message(), 1..5),
        ) {
            let mut exchange = Exchange::new(mechanism, if bind { bound() } else { Binding::none() });
            for message in messages {
                let mut step = exchange.step(&message);
                if let Step::NeedScramKeys { username } = &step {
                    step = exchange.resume_scram(ScramKeys::fake(b"secret", username));
                }
                let done = matches!(step, Step::Done { .. });
                prop_assert!(!done);
            }
        }

    }

    proptest! {
        // Each case costs two derivations.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_tampered_proof_is_refused(position in 0usize..32, flip in 1u8..) {
            let client = Client { header: "n,,", data: vec![], password: "pw" };
            let mut exchange = Exchange::new(Mechanism::ScramSha256, Binding::none());
            exchange.begin(Some(&client.first()));
            let (last, _) = client.last(&challenge(exchange.resume_scram(keys("pw"))));
            let (unproved, proof) = last.rsplit_once(",p=").unwrap();
            let mut proof = STANDARD.decode(proof).unwrap();
            proof[position] ^= flip;
            let tampered = format!("{unproved},p={}", STANDARD.encode(proof));
            prop_assert_eq!(failure(exchange.step(tampered.as_bytes())), Reason::WrongProof);
        }
    }
}
