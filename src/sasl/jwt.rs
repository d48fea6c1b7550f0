//! Access tokens as JWT (RFC 7519, RFC 9068), signed by the keys that their issuer publishes (RFC 7517).
//!
//! What must hold: nothing that a token says of itself is believed before its signature is right, but which issuer and key
//! to check it with; the algorithm must be one that was allowed beforehand and fit the key, and `none` is no algorithm;
//! what a token demands to be understood (`crit`) and is not, refuses it. Sizes are bounded. What it costs: one signature
//! check, some 50 microseconds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest token.
const MAX_TOKEN: usize = 8192;
/// Keys of one issuer that are read.
const MAX_KEYS: usize = 64;
/// How far clocks may differ, seconds.
const LEEWAY: f64 = 60.0;

/// Why a token is not accepted. For the log; the client hears that it is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is no JWT.
    #[error("it is no signed JWT")]
    Malformed,
    /// It demands something.
    #[error("it has critical extensions that are not known")]
    Critical,
    /// Its algorithm.
    #[error("its algorithm is not one that is accepted from this issuer")]
    Algorithm,
    /// No key of the issuer fits.
    #[error("the issuer has no key that it could be signed with")]
    NoKey,
    /// The signature.
    #[error("its signature is wrong")]
    Signature,
    /// `iss`.
    #[error("it is from another issuer")]
    Issuer,
    /// `aud`.
    #[error("it is for somebody else than this server")]
    Audience,
    /// `exp`.
    #[error("it has expired")]
    Expired,
    /// `nbf`.
    #[error("it is not valid yet")]
    TooEarly,
    /// The claim with the user's address.
    #[error("it does not say whose it is")]
    NoUser,
}

/// A token that is not verified yet.
#[derive(Debug)]
pub struct Token<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// What is wanted of a token.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `iss`.
    pub issuer: &'a str,
    /// What must be in `aud`.
    pub audience: &'a str,
    /// Names of algorithms (RFC 7518 §3.1, RFC 8037).
    pub algorithms: &'a [String],
    /// The claim that holds the user's name.
    pub username_claim: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`BadToken::Malformed`] or [`BadToken::Critical`].
    pub fn parse(text: &'a str) -> Result<Self, BadToken> {
        if text.len() > MAX_TOKEN {
            return Err(BadToken::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| BadToken::Malformed)?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| BadToken::Malformed)?;
        if header.crit.is_some() {
            return Err(BadToken::Critical);
        }
        Ok(Self { header, claims, signed: signed.as_bytes(), signature: decode(signature)? })
    }

    /// Who is said to have issued it.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// The name of the key that is said to have signed it.
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whose token it is, if all of it is right.
    ///
    /// # Errors
    /// What is not.
    pub fn verify(&self, keys: &Keys, wanted: &Wanted<'_>) -> Result<&str, BadToken> {
        let accepted = wanted.algorithms.contains(&self.header.alg);
        let algorithm = Algorithm::named(&self.header.alg).filter(|_| accepted).ok_or(BadToken::Algorithm)?;
        let mut fitting = keys.fitting(self.key_id(), &self.header.alg, algorithm).peekable();
        if fitting.peek().is_none() {
            return Err(BadToken::NoKey);
        }
        if !fitting.any(|key| algorithm.verifies(key, self.signed, &self.signature)) {
            return Err(BadToken::Signature);
        }
        self.check(wanted)
    }

    fn check(&self, wanted: &Wanted<'_>) -> Result<&str, BadToken> {
        if self.issuer() != Some(wanted.issuer) {
            return Err(BadToken::Issuer);
        }
        let for_us = match self.claims.get("aud") {
            Some(Value::String(one)) => one == wanted.audience,
            Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(wanted.audience)),
            _ => false,
        };
        if !for_us {
            return Err(BadToken::Audience);
        }
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let now = wanted.now as f64;
        // Without an end it would be valid for ever.
        match self.claims.get("exp").and_then(Value::as_f64) {
            Some(end) if now < end + LEEWAY => {}
            _ => return Err(BadToken::Expired),
        }
        match self.claims.get("nbf") {
            None => {}
            Some(begin) if begin.as_f64().is_some_and(|begin| now + LEEWAY >= begin) => {}
            Some(_) => return Err(BadToken::TooEarly),
        }
        // An address that its owner only claims is nobody's.
        let unverified = wanted.username_claim == "email"
            && self.claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true));
        let user = self.claims.get(wanted.username_claim).and_then(Value::as_str);
        user.filter(|user| !user.is_empty() && !unverified).ok_or(BadToken::NoUser)
    }
}

/// How a token is signed.
#[derive(Clone, Copy)]
enum Algorithm {
    Rsa(&'static RsaParameters),
    P256,
    P384,
    Ed25519,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::P256,
            "ES384" => Self::P384,
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    fn fits(self, key: &Material) -> bool {
        matches!(
            (self, key),
            (Self::Rsa(_), Material::Rsa { .. })
                | (Self::P256, Material::P256(_))
                | (Self::P384, Material::P384(_))
                | (Self::Ed25519, Material::Ed25519(_))
        )
    }

    fn verifies(self, key: &Material, signed: &[u8], signature: &[u8]) -> bool {
        let point = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
        };
        match (self, key) {
            (Self::Rsa(parameters), Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }
            (Self::P256, Material::P256(key)) => point(&ECDSA_P256_SHA256_FIXED, key),
            (Self::P384, Material::P384(key)) => point(&ECDSA_P384_SHA384_FIXED, key),
            (Self::Ed25519, Material::Ed25519(key)) => point(&ED25519, key),
            _ => false,
        }
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key as it is published (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a JWK set; keys of other kinds are left out. `None` if it is none.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let set: Map<String, Value> = serde_json::from_slice(json).ok()?;
        let keys = set.get("keys")?.as_array()?;
        Some(Self(keys.iter().take(MAX_KEYS).filter_map(Key::read).collect()))
    }

    /// Whether there is a key of this name, or for tokens without one, any.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.0.iter().any(|key| id.is_none() || key.id.as_deref() == id)
    }

    fn fitting<'a>(
        &'a self,
        id: Option<&'a str>,
        name: &'a str,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Material> {
        self.0
            .iter()
            .filter(move |key| id.is_none() || key.id.as_deref() == id)
            .filter(move |key| key.algorithm.as_deref().is_none_or(|own| own == name))
            .map(|key| &key.material)
            .filter(move |material| algorithm.fits(material))
    }
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let published = Published::deserialize(value).ok()?;
        if published.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let field = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = || Some([vec![4], field(&published.x)?, field(&published.y)?].concat());
        let material = match (published.kty.as_str(), published.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: field(&published.n)?, e: field(&published.e)? },
            ("EC", Some("P-256")) => Material::P256(point()?),
            ("EC", Some("P-384")) => Material::P384(point()?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(field(&published.x)?),
            _ => return None,
        };
        Some(Self { id: published.kid, algorithm: published.alg, material })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    /// Signs, and publishes the key under the name `one`.
    enum Signer {
        P256(EcdsaKeyPair),
        Ed25519(Ed25519KeyPair),
    }

    impl Signer {
        fn p256() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
            Self::P256(pair.unwrap())
        }

        fn ed25519() -> Self {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
        }

        fn keys(&self) -> Keys {
            let key = match self {
                Self::P256(pair) => {
                    let point = pair.public_key().as_ref();
                    let (x, y) =
                        (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
                    json!({"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "x": x, "y": y})
                }
                Self::Ed25519(pair) => {
                    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                    json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x})
                }
            };
            Keys::parse(json!({"keys": [{"kty": "unknown"}, key]}).to_string().as_bytes()).unwrap()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = match self {
                Self::P256(pair) => {
                    pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec()
                }
                Self::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            };
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.test", "aud": ["other", "mail"], "exp": 1000, "nbf": 500, "email": "a@x.test"})
    }

    fn verified(token: &str, keys: &Keys, algorithms: &[&str], now: i64) -> Result<String, BadToken> {
        let algorithms: Vec<String> = algorithms.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Wanted {
            issuer: "https://id.test",
            audience: "mail",
            algorithms: &algorithms,
            username_claim: "email",
            now,
        };
        Token::parse(token)?.verify(keys, &wanted).map(str::to_owned)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn claims_are_checked() {
        let signer = Signer::ed25519();
        let outcome = |claims: &Value, now| {
            let token = signer.sign(&json!({"alg": "EdDSA", "kid": "one"}), claims);
            verified(&token, &signer.keys(), &["EdDSA"], now)
        };
        for (claims, why) in [
            (with("iss", json!("https://id.test/")), BadToken::Issuer),
            (with("iss", json!(null)), BadToken::Issuer),
            (with("aud", json!("mail2")), BadToken::Audience),
            (with("aud", json!([])), BadToken::Audience),
            (with("aud", json!({"mail": 1})), BadToken::Audience),
            (with("exp", json!("1000")), BadToken::Expired),
            (with("exp", json!(null)), BadToken::Expired),
            (with("nbf", json!("x")), BadToken::TooEarly),
            (with("email", json!("")), BadToken::NoUser),
            (with("email", json!(["a@x.test"])), BadToken::NoUser),
            (with("email_verified", json!(false)), BadToken::NoUser),
            (with("email_verified", json!("true")), BadToken::NoUser),
        ] {
            assert_eq!(outcome(&claims, 700), Err(why), "{claims}");
        }
        assert_eq!(outcome(&claims(), 1060), Err(BadToken::Expired));
        assert_eq!(outcome(&claims(), 439), Err(BadToken::TooEarly));
        for now in [440, 700, 1059] {
            assert_eq!(outcome(&claims(), now).as_deref(), Ok("a@x.test"));
        }
        assert!(outcome(&with("aud", json!("mail")), 700).is_ok());
        assert!(outcome(&with("email_verified", json!(true)), 700).is_ok());
    }

    #[test]
    fn signatures_are_checked() {
        let (signer, other) = (Signer::p256(), Signer::p256());
        let keys = signer.keys();
        let good = signer.sign(&json!({"alg": "ES256", "kid": "one"}), &claims());
        assert_eq!(verified(&good, &keys, &["RS256", "ES256"], 700).as_deref(), Ok("a@x.test"));
        let forged = other.sign(&json!({"alg": "ES256", "kid": "one"}), &claims());
        assert_eq!(verified(&forged, &keys, &["ES256"], 700), Err(BadToken::Signature));
        assert_eq!(verified(&good, &keys, &["RS256"], 700), Err(BadToken::Algorithm));
        let unnamed = signer.sign(&json!({"alg": "ES256"}), &claims());
        assert!(verified(&unnamed, &keys, &["ES256"], 700).is_ok());
        for (header, why) in [
            (json!({"alg": "none"}), BadToken::Algorithm),
            (json!({"alg": "HS256", "kid": "one"}), BadToken::Algorithm),
            (json!({"alg": "es256", "kid": "one"}), BadToken::Algorithm),
            (json!({"alg": "ES384", "kid": "one"}), BadToken::NoKey),
            (json!({"alg": "EdDSA", "kid": "one"}), BadToken::NoKey),
            (json!({"alg": "RS256", "kid": "one"}), BadToken::NoKey),
            (json!({"alg": "ES256", "kid": "two"}), BadToken::NoKey),
            (json!({"alg": "ES256", "crit": ["b64"]}), BadToken::Critical),
            (json!({"kid": "one"}), BadToken::Malformed),
        ] {
            let token = signer.sign(&header, &claims());
            let all = ["none", "HS256", "es256", "ES256", "ES384", "EdDSA", "RS256"];
            assert_eq!(verified(&token, &keys, &all, 700), Err(why), "{header}");
        }
        // Without a signature, or with other claims under it.
        let (signed, signature) = good.rsplit_once('.').unwrap();
        assert_eq!(verified(&format!("{signed}."), &keys, &["ES256"], 700), Err(BadToken::Signature));
        let header = signed.split_once('.').unwrap().0;
        let changed = URL_SAFE_NO_PAD.encode(with("email", json!("b@x.test")).to_string());
        let token = format!("{header}.{changed}.{signature}");
        assert_eq!(verified(&token, &keys, &["ES256"], 700), Err(BadToken::Signature));
        for token in ["", ".", "..", "a.b", "a.b.c", &format!("{good}="), &"a".repeat(MAX_TOKEN + 1)] {
            assert_eq!(verified(token, &keys, &["ES256"], 700), Err(BadToken::Malformed), "{token}");
        }
    }

    #[test]
    fn a_key_is_used_for_what_it_is_published_for() {
        let rsa = |more: &str| {
            let text =
                format!(r#"{{"keys": [{{"kty": "RSA", "kid": "one", "n": "AQAB", "e": "AQAB"{more}}}]}}"#);
            Keys::parse(text.as_bytes()).unwrap()
        };
        let count =
            |keys: &Keys| keys.fitting(Some("one"), "RS256", Algorithm::named("RS256").unwrap()).count();
        assert_eq!(count(&rsa("")), 1);
        assert_eq!(count(&rsa(r#", "use": "sig", "alg": "RS256""#)), 1);
        assert_eq!(count(&rsa(r#", "use": "enc""#)), 0);
        assert_eq!(count(&rsa(r#", "alg": "PS256""#)), 0);
        for text in ["", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(Keys::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-zA-Z0-9_.-]{0,80}") {
            Token::parse(&text).ok();
            Keys::parse(text.as_bytes());
        }
    }
}
