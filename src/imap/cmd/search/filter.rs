//! Filters: searches stored under a name, and used by FILTER (RFC 5466).
//!
//! A filter is a METADATA entry of the server, of the account's own or shared by all. It is put in place of its name
//! before a search is prepared. A filter may use others: as deep as [`PASSES_MAX`], and no more than [`FILTERS_MAX`] with [`KEYS_MAX`]
//! keys in all; what goes beyond, as a circle does, is treated as not there (RFC 5466 §3.1).

use std::collections::HashMap;

use super::charset::Charset;
use super::key::{SearchKey, search_keys};
use crate::imap::answer::{Fail, OwnedCode};
use crate::imap::session::Session;
use crate::imap::wire::name::NameCoding;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::unit::Unit;

/// How often what stands for a name may itself name filters. RFC 5466 §3.1: at least three times.
const PASSES_MAX: usize = 5;

/// Filters used in one search.
const FILTERS_MAX: usize = 100;

/// Keys that filters bring into one search: as many as a command could hold itself.
const KEYS_MAX: usize = 20_000;

/// The search with its filters in place of their names.
pub(in crate::imap::cmd) async fn resolved(session: &Session, key: SearchKey) -> Result<SearchKey, Fail> {
    let mut known: HashMap<String, SearchKey> = HashMap::new();
    let mut wanted = Vec::new();
    names(&key, &mut wanted);
    for _ in 0..PASSES_MAX {
        wanted.retain(|name| !known.contains_key(name));
        if wanted.is_empty() {
            break;
        }
        wanted.truncate(FILTERS_MAX + 1);
        if known.len() + wanted.len() > FILTERS_MAX {
            return Err(undefined(wanted.pop().unwrap_or_default()));
        }
        let mut next = Vec::new();
        let stored = session.house.store.filters(session.login()?.account, &wanted).await?;
        for name in wanted {
            let value = stored.get(&name).map(Vec::as_slice);
            let Some(filter) = value.and_then(read) else { return Err(undefined(name)) };
            names(&filter, &mut next);
            known.insert(name, filter);
        }
        wanted = next;
    }
    replaced(key, &known, PASSES_MAX, &mut Used::default())
}

/// What filters have brought into a search.
#[derive(Default)]
struct Used {
    filters: usize,
    keys: usize,
}

impl Used {
    /// Takes another filter, if there is room for it.
    fn take(&mut self, filter: &SearchKey) -> bool {
        self.filters += 1;
        filter.walk(&mut |_| self.keys += 1);
        self.filters <= FILTERS_MAX && self.keys <= KEYS_MAX
    }
}

fn undefined(name: String) -> Fail {
    Fail::No(Some(OwnedCode::UndefinedFilter(name)), "there is no such filter, or it cannot be used".into())
}

/// What is stored, read as a search in UTF-8; `None` when it is none.
fn read(value: &[u8]) -> Option<SearchKey> {
    let unit = Unit::of_text(value.trim_ascii());
    let mut parser = Parser::new(&unit, NameCoding::Utf8);
    let key = search_keys(&mut parser, Charset::default()).ok()?;
    parser.finish().ok().map(|()| key)
}

/// The filters that a search names, each once.
fn names(key: &SearchKey, names_so_far: &mut Vec<String>) {
    key.walk(&mut |key| {
        if let SearchKey::Filter(name) = key
            && !names_so_far.contains(name)
        {
            names_so_far.push(name.clone());
        }
    });
}

/// Puts filters in their places. How deep that goes is bounded by how deep keys nest and by `passes`.
fn replaced(
    key: SearchKey,
    known: &HashMap<String, SearchKey>,
    passes: usize,
    used: &mut Used,
) -> Result<SearchKey, Fail> {
    key.map(&mut |key| match key {
        SearchKey::Filter(name) => match known.get(&name).filter(|filter| passes > 0 && used.take(filter)) {
            Some(filter) => replaced(filter.clone(), known, passes - 1, used),
            None => Err(undefined(name)),
        },
        other => Ok(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_in(text: &str, filters: &[(&str, &str)]) -> Result<SearchKey, String> {
        let known = filters.iter().map(|(name, value)| ((*name).to_owned(), read(value.as_bytes()).unwrap()));
        let known: HashMap<String, SearchKey> = known.collect();
        replaced(read(text.as_bytes()).unwrap(), &known, PASSES_MAX, &mut Used::default()).map_err(|fail| {
            match fail {
                Fail::No(Some(OwnedCode::UndefinedFilter(name)), _) => name,
                other => format!("{other:?}"),
            }
        })
    }

    #[test]
    fn what_can_be_stored() {
        for value in
            ["", "FOO", "SEEN)", "SUBJECT {1}\r\nx", "SUBJECT \"\u{e9}", "(SEEN", "CHARSET UTF-8 SEEN"]
        {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
        assert_eq!(read(b"\xff"), None);
        assert_eq!(read(" SUBJECT \"é\" \r\n".as_bytes()), Some(SearchKey::Subject("é".into())));
    }

    #[test]
    fn filters_in_place_of_their_names() {
        let seen = || SearchKey::Seen;
        assert_eq!(put_in("FILTER a", &[("a", "SEEN")]), Ok(seen()));
        assert_eq!(
            put_in("NOT FILTER a OR FILTER a (FILTER b)", &[("a", "SEEN"), ("b", "DRAFT FILTER a")]),
            Ok(SearchKey::And(vec![
                SearchKey::Not(Box::new(seen())),
                SearchKey::Or(Box::new(seen()), Box::new(SearchKey::And(vec![SearchKey::Draft, seen()]))),
            ]))
        );
        assert_eq!(put_in("FILTER b", &[("a", "SEEN")]), Err("b".into()));
        assert_eq!(put_in("FILTER a", &[("a", "NOT FILTER a")]), Err("a".into()));
        assert_eq!(put_in("FILTER a", &[("a", "FILTER b"), ("b", "FILTER a")]), Err("b".into()));
        let deep: Vec<(String, String)> = (0..5)
            .map(|n| (format!("f{n}"), if n == 4 { "SEEN".into() } else { format!("FILTER f{}", n + 1) }))
            .collect();
        let deep: Vec<(&str, &str)> =
            deep.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(put_in("FILTER f0", &deep), Ok(seen()));
        // Each doubles what is below it.
        let wide: Vec<(String, String)> = (0..4)
            .map(|n| (format!("f{n}"), ["FILTER g"; 50].join(" ").replace('g', &format!("f{}", n + 1))))
            .collect();
        let wide: Vec<(&str, &str)> =
            wide.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert!(put_in("FILTER f0", &wide).is_err());
        let long = ["SEEN"; 1000].join(" ");
        assert!(put_in(&["FILTER a"; 19].join(" "), &[("a", &long)]).is_ok());
        assert!(put_in(&["FILTER a"; 21].join(" "), &[("a", &long)]).is_err());
    }
}
