//! The house as DESIGN draws it: who may import whom, and who may speak to sockets and to PostgreSQL.
//!
//! Reads the source of every module for paths that begin with `crate::`, and holds them to the list of floors.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::root;

/// Modules from the ground up. A module may import what stands on a lower floor.
const FLOORS: &[&[&str]] = &[
    &["mail", "mime", "smtp", "sasl", "rule", "ip"],
    &["db", "net", "tls", "dns"],
    &["control"],
    &["directory", "store", "queue", "list", "archive", "log", "tables", "certificates"],
    &["intake", "relay", "verify", "screen", "dbconnector"],
    &["smtpd", "imap", "pop3", "web", "rpc"],
    &["cli", "server"],
];

/// Who may import a neighbour on the same floor.
const SIDEWAYS: &[(&str, &[&str])] = &[
    ("mime", &["mail"]),
    ("smtp", &["mail"]),
    ("rule", &["mail"]),
    // A web server is reached by its name.
    ("net", &["tls", "dns"]),
    ("db", &["tls"]),
    ("archive", &["store"]),
    // A queued message may still have its bytes in memory.
    ("queue", &["store"]),
    ("intake", &["verify", "screen"]),
    ("screen", &["verify"]),
    // What goes out may come back in: reports, and mail for a domain that has become ours.
    ("relay", &["intake", "screen", "verify"]),
    // The program starts the server, and both are the roof.
    ("cli", &["server"]),
];

/// Who may use a crate that stands for a piece of the world.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("tokio::net", &["net", "relay", "dns"]),
    // intake makes the transaction in which a message comes in.
    (
        "tokio_postgres",
        &[
            "db",
            "control",
            "directory",
            "store",
            "queue",
            "list",
            "archive",
            "log",
            "tables",
            "certificates",
            "intake",
            "cli",
            "server",
        ],
    ),
    ("axum", &["web", "rpc"]),
];

/// What the words may not touch: they are pure.
const IMPURE: &[&str] = &["tokio", "tokio_postgres", "deadpool_postgres", "axum"];

/// A source file without comments and strings.
struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    walk(&src, "rs", &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = without_comments(&std::fs::read_to_string(&path).unwrap());
            Source { path, module, text }
        })
        .collect()
}

/// All files below a directory that end so.
pub fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// The lines that are no comments.
pub fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules named right after `crate::`, braces opened: `crate::{db, net::talk}` names `db` and `net`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_level_names(group)),
            None => found.extend(name_at_start(rest)),
        }
    }
    found
}

fn name_at_start(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(name_at_start(std::mem::take(&mut item).trim())),
            _ => item.push(c),
        }
    }
    names.extend(name_at_start(item.trim()));
    names
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn may_import(from: &str, to: &str) -> bool {
    let (Some(here), Some(there)) = (floor(from), floor(to)) else { return false };
    let named = SIDEWAYS.iter().any(|(module, neighbours)| *module == from && neighbours.contains(&to));
    from == to || there < here || (here == there && named)
}

/// Whether the text uses this crate or module: its path, and not as the tail of another one.
fn uses(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let path_goes_on = text[at + path.len()..].starts_with("::");
        !word(before) && (path_goes_on || !word(after))
    })
}

#[test]
fn every_module_has_a_floor() {
    let homeless: BTreeSet<String> = sources()
        .into_iter()
        .map(|source| source.module)
        .filter(|module| !["lib", "main"].contains(&module.as_str()) && floor(module).is_none())
        .collect();
    assert!(homeless.is_empty(), "these modules stand on no floor (DESIGN, section 2): {homeless:?}");
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !["lib", "main"].contains(&source.module.as_str())) {
        for import in imports(&source.text) {
            // A macro or a type at the root of the crate is no module.
            if floor(&import).is_some() && !may_import(&source.module, &import) {
                wrong.push(format!("{} imports {import}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the floors (DESIGN, section 2):\n{}", wrong.join("\n"));
}

#[test]
fn words_are_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| floor(&source.module) == Some(0)) {
        for name in IMPURE.iter().filter(|name| uses(&source.text, name)) {
            wrong.push(format!("{} uses {name}", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "words know no tokio and no PostgreSQL:\n{}", wrong.join("\n"));
}

#[test]
fn the_outside_is_reached_by_few() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, modules) in OUTSIDE {
            let grouped = name.split_once("::").is_some_and(|(outer, inner)| {
                source
                    .text
                    .split(&format!("{outer}::{{"))
                    .skip(1)
                    .any(|group| top_level_names(group).iter().any(|n| n == inner))
            });
            if (uses(&source.text, name) || grouped) && !modules.contains(&source.module.as_str()) {
                wrong.push(format!("{} uses {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "only some modules may (DESIGN, section 2):\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_read_in_every_form() {
    let text = "use crate::db;\nuse crate::net::{talk, stop};\nuse crate::{mail, tls::{a, b}, sql};\nlet x = crate::ip::List::new();";
    let expected = ["db", "ip", "mail", "net", "sql", "tls"].map(str::to_owned);
    assert_eq!(imports(text), BTreeSet::from(expected));
    assert!(uses("use tokio::net::TcpStream;", "tokio::net"));
    assert!(!uses("use tokio::network;", "tokio::net"));
    assert!(!uses("use mytokio::net::X;", "tokio::net"));
    for (from, to, allowed) in [
        ("imap", "store", true),
        ("store", "imap", false),
        ("imap", "pop3", false),
        ("store", "directory", false),
        ("net", "tls", true),
        ("tls", "net", false),
    ] {
        assert_eq!(may_import(from, to), allowed, "{from} {to}");
    }
}
