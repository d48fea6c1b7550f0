//! SPF against the test suite of RFC 7208, which scripts/setup fetches: every case, with the DNS that it describes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mailwright::verify::spf::{Query, check};
use serde_json::Value;

use crate::support::dns::Failing;
use crate::support::{Dns, root};

/// Cases whose result is another one here, and why.
const DEVIATIONS: &[(&str, &str)] = &[
    ("a-colon-domain", "foo:bar/baz.example.com can be no host's name, so nothing is asked for"),
    ("a-colon-domain-ip4mapped", "the same"),
    ("mx-colon-domain", "the same"),
    ("mx-colon-domain-ip4mapped", "the same"),
    ("macro-mania-in-domain", "a host's name with spaces"),
];

/// The suite's scenarios.
fn suite() -> Vec<Value> {
    let file = root().join("target/spf/rfc7208-tests.yml");
    assert!(file.is_file(), "{} is missing: scripts/setup test", file.display());
    let output = std::process::Command::new("/usr/bin/python3")
        .arg(root().join("tests/server/clients/yaml_to_json.py"))
        .arg(file)
        .output()
        .expect("python3, and the package python3-yaml");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A DNS with the records of a scenario.
async fn dns(zone: &Value) -> Dns {
    let dns = Dns::start().await;
    for (name, entries) in zone.as_object().unwrap() {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut spf = Vec::new();
        let mut fails = false;
        let mut no_txt = false;
        for entry in entries.as_array().unwrap() {
            let Some((kind, value)) = entry.as_object().and_then(|entry| entry.iter().next()) else {
                fails |= entry == "TIMEOUT";
                continue;
            };
            match (kind.as_str(), value) {
                ("TXT", Value::String(none)) if none == "NONE" => no_txt = true,
                (_, Value::String(timeout)) if timeout == "TIMEOUT" => fails = true,
                // No string at all is a record that the wire does not know.
                ("SPF", Value::Array(none)) if none.is_empty() => {}
                ("SPF", value) => spf.push(texts(value)),
                ("TXT", value) => lines.entry("TXT").or_default().push(texts(value)),
                ("MX", value) => {
                    let host = value[1].as_str().unwrap();
                    lines.entry("MX").or_default().push(format!("{} {host}.", value[0]));
                }
                ("PTR" | "CNAME", value) => {
                    lines
                        .entry(kind)
                        .or_default()
                        .push(format!("{}.", value.as_str().unwrap().trim_end_matches('.')));
                }
                (_, value) => lines.entry(kind).or_default().push(value.as_str().unwrap().to_owned()),
            }
        }
        // What the suite calls SPF is there as TXT too, unless it says otherwise.
        if !no_txt && !lines.contains_key("TXT") && !spf.is_empty() {
            lines.insert("TXT", spf);
        }
        if fails && !lines.contains_key("TXT") {
            dns.fail(name, Failing::ServFail);
        }
        for (kind, values) in lines {
            let lines: Vec<String> = values
                .iter()
                .map(|value| format!("{}. 60 IN {kind} {value}", name.replace(' ', "\\032")))
                .collect();
            dns.set(&lines.join("\n"));
        }
    }
    dns
}

/// Strings of a TXT record as a zone file has them.
fn texts(value: &Value) -> String {
    let quoted = |text: &Value| {
        let mut out = String::from("\"");
        for c in text.as_str().unwrap().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                ' '..='~' => out.push(c),
                other => out.push_str(&format!("\\{:03}", other as u32 & 0xff)),
            }
        }
        // A string holds 255 bytes.
        assert!(out.len() < 256 || value.is_array());
        out + "\""
    };
    match value {
        Value::Array(strings) => strings.iter().map(quoted).collect::<Vec<_>>().join(" "),
        text if text.as_str().unwrap().len() > 250 => {
            let text: Vec<char> = text.as_str().unwrap().chars().collect();
            let parts: Vec<Value> =
                text.chunks(200).map(|part| Value::String(part.iter().collect())).collect();
            texts(&Value::Array(parts))
        }
        text => quoted(text),
    }
}

#[tokio::test]
async fn the_test_suite_of_rfc_7208() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for scenario in suite() {
        let zone = dns(&scenario["zonedata"]).await;
        let resolver = resolver(&zone);
        for (name, case) in scenario["tests"].as_object().unwrap() {
            let text = |field: &str| case[field].as_str().unwrap_or_default();
            let (helo, sender) = (text("helo"), text("mailfrom"));
            let peer: IpAddr = text("host").parse().unwrap();
            let (local, domain) = match sender.rsplit_once('@') {
                _ if sender.is_empty() => ("postmaster", helo),
                None => ("postmaster", sender),
                Some(("", domain)) => ("postmaster", domain),
                Some(parts) => parts,
            };
            let result = check(&resolver, Query { peer, helo, local, domain }).await.word();
            let expected = &case["result"];
            let right = expected == result
                || expected.as_array().is_some_and(|some| some.iter().any(|e| e == result));
            cases += 1;
            let known = DEVIATIONS.iter().any(|(deviation, _)| deviation == name);
            if right == known {
                wrong.push(format!("{}/{name}: {result} instead of {expected}", scenario["description"]));
            }
        }
    }
    assert!(cases > 190, "only {cases} cases");
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}

fn resolver(dns: &Dns) -> mailwright::dns::Dns {
    mailwright::dns::Dns::new(&mailwright::dns::Settings {
        servers: vec![dns.address()],
        dnssec: mailwright::dns::Dnssec::Off,
        timeout: std::time::Duration::from_secs(5),
        attempts: 1,
        cache: 0,
    })
    .unwrap()
}
