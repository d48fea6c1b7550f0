//! `mailwright dns`: the DNS records that a domain needs, ready to be pasted into its zone, and which of them are there.
//!
//! The lines are those of a zone file (RFC 1035 §5); what was found stands behind each as a comment. What is needed, and what is
//! there, `verify::zone` knows.

use clap::Args;
use tokio_postgres::Client;

use super::failure::{Failure, told};
use super::table::say;
use crate::dns::Dns;
use crate::mail::domain_to_ascii;
use crate::verify::zone::{self, Facts, Item};

/// How long others may remember the records, seconds.
const TTL: u32 = 3600;

/// Of which domain.
#[derive(Args)]
pub struct Records {
    /// A domain whose mail is kept here
    domain: String,
}

/// Prints them.
pub async fn run(client: Client, command: Records) -> Result<(), Failure> {
    let domain = domain_to_ascii(command.domain.as_bytes())
        .map_err(|error| told(format!("{}: {error}", command.domain)))?;
    let row = client.query_opt(zone::FACTS, &[&domain]).await?;
    let row = row.ok_or_else(|| {
        told(format!("there is no domain {domain} here: add it with: mailwright domain add {domain}"))
    })?;
    let facts: Facts = serde_json::from_value(row.get(0))
        .map_err(|error| told(format!("the database's answer cannot be read: {error}")))?;
    let Some(host) = facts.hostname.clone() else {
        return Err(told(
            "the server has no name yet that others can look up: \
             mailwright sql -c \"update control.server set hostname = 'mail.example.org'\"",
        ));
    };
    let dns = Dns::new(&facts.dns.settings()).map_err(|error| told(error.to_string()))?;
    let items = zone::look(dns, &facts, &domain, &host).await;
    say(&written(&items, &domain, &host));
    Ok(())
}

/// As the lines of a zone.
fn written(items: &[Item], domain: &str, host: &str) -> String {
    let mut text = comment(&format!("DNS records of {domain}, whose mail is kept by {host}"));
    for item in items {
        text += &match item {
            Item::Heading(heading) => format!("\n{}", comment(heading)),
            Item::Note(note) => comment(note),
            Item::NoAddress(zone::State::Missing) => {
                comment(&format!("missing: {host} needs an A record, an AAAA record, or both"))
            }
            Item::NoAddress(state) => comment(&state.to_string()),
            Item::Address(address, state) => {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                line(host, kind, &address.to_string(), &format!("reverse DNS (PTR): {state}"))
            }
            Item::Record { name, kind, data, state, .. } => {
                let data = if *kind == "TXT" { quoted(data) } else { data.clone() };
                line(name, kind, &data, &state.to_string())
            }
        };
    }
    text
}

fn line(name: &str, kind: &str, data: &str, verdict: &str) -> String {
    format!("{name}. {TTL} IN {kind} {data} ; {}\n", one_line(verdict))
}

fn comment(text: &str) -> String {
    format!("; {}\n", one_line(text))
}

/// What others have published stays within its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text as strings of at most 255 bytes (RFC 1035 §3.3). Ours are ASCII, without quotes.
fn quoted(data: &str) -> String {
    let pieces = data.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)));
    pieces.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(quoted("v=spf1 mx -all"), "\"v=spf1 mx -all\"");
        let long = quoted(&"x".repeat(300));
        assert_eq!(long, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }
}
