//! A certificate that an administrator has brought or made.

use serde_json::Value;

use super::{Tables, Who};
use crate::db::Error;
use crate::sql;
use crate::tls::certificate::Certified;

const KEEP: &str = sql!("tables/keep_certificate");

/// What is kept: chain and key as PEM, both read, and for which names.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// PEM, without a key in it.
    pub chain: &'a str,
    /// PEM.
    pub key: &'a str,
    /// Host names that it is served for; none = all that are inside.
    pub names: &'a [String],
    /// Both, read.
    pub read: &'a Certified,
    /// `uploaded` or `self-signed`.
    pub source: &'a str,
}

impl Tables {
    /// Keeps a certificate; one of the same source for the same names is replaced. The answer has its `id` and whether it `is_new`.
    pub async fn keep_certificate(&self, who: &Who, kept: Kept<'_>) -> Result<Value, Error> {
        let Kept { chain, key, names, read, source } = kept;
        let Certified { own_names, not_before, not_after, .. } = read;
        self.ask(who, KEEP, &[&chain, &key, &names, own_names, not_before, not_after, &source]).await
    }
}
