//! The messages of SCRAM (RFC 5802 §5 and §7), the server's side.

use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;

use super::{
    binding::Binding, keys::ScramKeys, mechanism::Mechanism, plain::other_than, prepare::prepare_name,
    reason::Reason,
};

/// Two names, a nonce and a binding, escaped and in base64, fit in it.
const MAX_MESSAGE: usize = 4096;
/// Clients send some 30 characters.
const MAX_NONCE: usize = 256;

/// client-first-message, with the binding that the client asked for looked up.
#[derive(Debug)]
pub(super) struct ClientFirst {
    pub(super) username: String,
    authzid: Option<String>,
    nonce: String,
    /// client-first-message-bare: the first part of AuthMessage.
    bare: String,
    /// What `c=` must hold later: the GS2 header and the binding's data.
    channel: Vec<u8>,
}

impl ClientFirst {
    /// Parses client-first-message and holds its GS2 header against the mechanism and the connection.
    pub(super) fn parse(message: &[u8], mechanism: Mechanism, binding: &Binding) -> Result<Self, Reason> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',').ok_or(Reason::Malformed("no GS2 header"))?;
        let (authzid, bare) = rest.split_once(',').ok_or(Reason::Malformed("no GS2 header"))?;
        let data = bound_data(flag, mechanism, binding)?;
        let authzid = match authzid {
            "" => None,
            named => Some(name(named.strip_prefix("a=").ok_or(Reason::Malformed("GS2 header"))?)?),
        };
        let mut attributes = bare.split(',');
        let username = name(attribute(attributes.next(), 'n', "no user name")?)?;
        let nonce = attribute(attributes.next(), 'r', "no nonce")?;
        // RFC 5802 §7: printable, and no comma, which would have ended it.
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Reason::Malformed("the nonce is not printable"));
        }
        if nonce.len() > MAX_NONCE {
            return Err(Reason::TooLong);
        }
        refuse_mandatory(attributes)?;
        let mut channel = message.get(..message.len() - bare.len()).unwrap_or_default().to_vec();
        channel.extend_from_slice(data);
        Ok(Self {
            authzid: other_than(&username, authzid),
            username,
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
            channel,
        })
    }

    /// server-first-message, and the state that waits for its answer.
    pub(super) fn challenge(self, keys: ScramKeys, server_nonce: &str) -> (Vec<u8>, Challenged) {
        let nonce = format!("{}{server_nonce}", self.nonce);
        let message = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        let said = format!("{},{message},", self.bare);
        let challenged = Challenged {
            username: self.username,
            authzid: self.authzid,
            nonce,
            channel: self.channel,
            keys,
            said,
        };
        (message.into_bytes(), challenged)
    }
}

/// server-first-message is out; the client's proof is awaited.
#[derive(Debug)]
pub(super) struct Challenged {
    username: String,
    authzid: Option<String>,
    nonce: String,
    channel: Vec<u8>,
    keys: ScramKeys,
    /// AuthMessage so far, with the comma that follows.
    said: String,
}

/// The client has proved its password.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) username: String,
    pub(super) authzid: Option<String>,
}

impl Challenged {
    /// Checks client-final-message; gives server-final-message.
    pub(super) fn prove(self, message: &[u8]) -> Result<(Vec<u8>, Proved), Reason> {
        let text = text(message)?;
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(Reason::Malformed("no proof"))?;
        let mut attributes = unproved.split(',');
        let channel = decode(attribute(attributes.next(), 'c', "no channel binding")?)?;
        let nonce = attribute(attributes.next(), 'r', "no nonce")?;
        refuse_mandatory(attributes)?;
        let proof = decode(proof)?;
        if nonce != self.nonce {
            return Err(Reason::WrongNonce);
        }
        if !bool::from(channel.ct_eq(&self.channel)) {
            return Err(Reason::BindingDiffers);
        }
        let said = format!("{}{unproved}", self.said);
        let signature = self.keys.check(said.as_bytes(), &proof).ok_or(Reason::WrongProof)?;
        let message = format!("v={}", STANDARD.encode(signature));
        Ok((message.into_bytes(), Proved { username: self.username, authzid: self.authzid }))
    }
}

/// The binding data that the flag of the GS2 header asks for; empty where it asks for none (RFC 5802 §6).
fn bound_data<'a>(flag: &str, mechanism: Mechanism, binding: &'a Binding) -> Result<&'a [u8], Reason> {
    let plus = mechanism == Mechanism::ScramSha256Plus;
    match flag.strip_prefix("p=") {
        Some(kind) if plus => binding.named(kind).ok_or(Reason::BindingNotOffered),
        Some(_) => Err(Reason::BindingNotOffered),
        None if flag != "n" && flag != "y" => Err(Reason::Malformed("channel binding flag")),
        None if plus => Err(Reason::BindingNotOffered),
        // "I could, but you can't": we announced that we can.
        None if flag == "y" && !binding.is_none() => Err(Reason::Downgraded),
        None => Ok(&[]),
    }
}

fn text(message: &[u8]) -> Result<&str, Reason> {
    if message.len() > MAX_MESSAGE {
        return Err(Reason::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| Reason::Malformed("not UTF-8"))?;
    if text.contains('\0') { Err(Reason::Malformed("holds NUL")) } else { Ok(text) }
}

/// The value of an attribute that must come next. `m` in its place is an extension the client insists on.
fn attribute<'a>(part: Option<&'a str>, letter: char, missing: &'static str) -> Result<&'a str, Reason> {
    match part.and_then(|part| part.split_once('=')) {
        Some(("m", _)) => Err(Reason::UnknownExtension),
        Some((name, value)) if name.len() == 1 && name.starts_with(letter) => Ok(value),
        _ => Err(Reason::Malformed(missing)),
    }
}

/// RFC 5802 §5.1: unknown attributes at the end are ignored, but for `m`. Each is a letter, `=` and a value.
fn refuse_mandatory<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), Reason> {
    for part in attributes {
        match part.split_once('=') {
            Some(("m", _)) => return Err(Reason::UnknownExtension),
            Some((name, value))
                if name.len() == 1
                    && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && !value.is_empty() => {}
            _ => return Err(Reason::Malformed("an attribute is a letter, '=' and a value")),
        }
    }
    Ok(())
}

fn decode(value: &str) -> Result<Vec<u8>, Reason> {
    STANDARD.decode(value).map_err(|_| Reason::Malformed("an attribute is not base64"))
}

/// A saslname (RFC 5802 §5.1): comma and equals sign are written `=2C` and `=3D`, and no other `=` may be
/// there.
pub(super) fn name(escaped: &str) -> Result<String, Reason> {
    let mut parts = escaped.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let unescaped = [("2C", ','), ("2c", ','), ("3D", '='), ("3d", '=')]
            .into_iter()
            .find_map(|(code, character)| Some((character, part.strip_prefix(code)?)));
        let (character, rest) = unescaped.ok_or(Reason::Malformed("a name holds a bare '='"))?;
        plain.push(character);
        plain.push_str(rest);
    }
    prepare_name(&plain).ok_or(Reason::UnusableName)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mechanism::{ScramSha256, ScramSha256Plus};

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn bound() -> Binding {
        Binding { tls_exporter: Some([7; 32]), tls_server_end_point: None }
    }

    fn first(message: &str) -> Result<ClientFirst, Reason> {
        ClientFirst::parse(message.as_bytes(), ScramSha256, &Binding::none())
    }

    /// The exchange of RFC 7677 §3, up to the client's last message.
    fn challenged() -> (Vec<u8>, Challenged) {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(&"pencil".into(), &salt, 4096.try_into().unwrap());
        first(&format!("n,,n=user,r={NONCE}")).unwrap().challenge(keys, SERVER_NONCE)
    }

    #[test]
    fn refuses_first_messages() {
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,r=abc,n=user",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "n,,n=user,r=\u{e9}",
            "n,,n=us=er,r=abc",
            "n,,n=user=2,r=abc",
            "n,,user,r=abc",
            "n,b=x,n=user,r=abc",
            "x,,n=user,r=abc",
            "p,,n=user,r=abc",
            "N,,n=user,r=abc",
            "n,,n=user,r=abc,",
            "n,,n=user,r=abc,xx=1",
            "n,,n=user,r=abc,x=",
            "n,,n=us\0er,r=abc",
        ] {
            assert!(matches!(first(message), Err(Reason::Malformed(_))), "{message:?}");
        }
        for message in ["n,,m=x,n=user,r=abc", "n,,n=user,m=x,r=abc", "n,,n=user,r=abc,m=x"] {
            assert_eq!(first(message).unwrap_err(), Reason::UnknownExtension, "{message}");
        }
        assert_eq!(first("n,,n=,r=abc").unwrap_err(), Reason::UnusableName);
        assert_eq!(first(&format!("n,,n=user,r={}", "a".repeat(257))).unwrap_err(), Reason::TooLong);
        assert_eq!(first(&format!("n,,n=user,r=abc,x={}", "a".repeat(4096))).unwrap_err(), Reason::TooLong);
    }

    #[test]
    fn refuses_bindings() {
        let flagged = |flag: &str, mechanism, binding: &Binding| {
            ClientFirst::parse(format!("{flag},,n=user,r=abc").as_bytes(), mechanism, binding).map(|_| ())
        };
        let none = Binding::none();
        assert_eq!(flagged("y", ScramSha256, &bound()), Err(Reason::Downgraded));
        assert_eq!(flagged("y", ScramSha256, &none), Ok(()));
        assert_eq!(flagged("n", ScramSha256, &bound()), Ok(()));
        assert_eq!(flagged("p=tls-exporter", ScramSha256, &bound()), Err(Reason::BindingNotOffered));
        for flag in ["n", "y", "p=tls-unique", "p=tls-server-end-point", "p="] {
            assert_eq!(flagged(flag, ScramSha256Plus, &bound()), Err(Reason::BindingNotOffered), "{flag}");
        }
        assert_eq!(flagged("p=tls-exporter", ScramSha256Plus, &none), Err(Reason::BindingNotOffered));
        assert_eq!(flagged("p=tls-exporter", ScramSha256Plus, &bound()), Ok(()));
    }

    #[test]
    fn reads_names() {
        let parsed = first("n,a=ad=2Cmin,n=a=3Db=2cc,r=abc,x=ignored").unwrap();
        assert_eq!((parsed.username.as_str(), parsed.authzid.as_deref()), ("a=b,c", Some("ad,min")));
        assert_eq!(first("n,a=user,n=user,r=abc").unwrap().authzid, None);
    }

    #[test]
    fn refuses_final_messages() {
        let refusal = |message: &str| challenged().1.prove(message.as_bytes()).unwrap_err();
        for message in ["", "c=biws", FINAL.split_once(",p=").unwrap().0, &FINAL.replace("c=biws,", "")] {
            assert!(matches!(refusal(message), Reason::Malformed(_)), "{message}");
        }
        assert!(matches!(refusal(&FINAL.replace("biws", "biw")), Reason::Malformed(_)));
        assert!(matches!(refusal(&FINAL.replace("dVQ=", "dVQ")), Reason::Malformed(_)));
        assert_eq!(refusal(&FINAL.replace(",p=", ",m=x,p=")), Reason::UnknownExtension);
        assert_eq!(refusal(&FINAL.replace("$k0", "$k1")), Reason::WrongNonce);
        assert_eq!(refusal(&FINAL.replace(SERVER_NONCE, "")), Reason::WrongNonce);
        assert_eq!(refusal(&FINAL.replace("$k0", "$k0x")), Reason::WrongNonce);
        assert_eq!(refusal(&FINAL.replace("biws", "eSws")), Reason::BindingDiffers);
        assert_eq!(refusal(&FINAL.replace("dHzb", "eHzb")), Reason::WrongProof);
        assert_eq!(refusal(&FINAL.replace("dHzb", "")), Reason::WrongProof);
        // The extension is optional, but it is part of what was to be proved.
        assert_eq!(refusal(&FINAL.replace(",p=", ",x=y,p=")), Reason::WrongProof);
    }

    #[test]
    fn accepts_the_exchange_of_rfc_7677() {
        let (message, challenged) = challenged();
        assert_eq!(
            String::from_utf8(message).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let (message, proved) = challenged.prove(FINAL.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(message).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!((proved.username.as_str(), proved.authzid), ("user", None));
    }
}
