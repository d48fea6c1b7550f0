//! Speed beside peers and bounds: `make bench`, or `cargo bench -- smtp` for one part. docs/speed.md says what each
//! part measures and how to read it.
//!
//! House rules: every figure stands beside a peer or a bound, measured in the same run; every message is looked for
//! afterwards, and one that is missing is an error; no figure, however bad, is one. Nothing waits without a limit, and
//! whatever was started is stopped, Ctrl-C included. The runtime has one thread, because children are told to die with
//! the thread that started them.

mod bounds;
mod child;
mod claim;
mod daemon;
mod dovecot;
mod fetch;
mod flags;
mod idle;
mod imap;
mod letter;
mod machine;
mod mail;
mod pages;
mod pair;
mod relay;
mod report;
mod round;
mod scale;
mod sink;
mod smtp;
mod submission;
mod trouble;
mod watch;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use report::Report;
use trouble::{Told as _, Trouble};

const USAGE: &str = "\
usage: cargo bench -- [--quick] [PART...]

  smtp        mail by 20 SMTP sessions into mailboxes, beside Postfix and Dovecot; memory under that load
  relay       mail by 20 SMTP sessions in and by SMTP out, beside Postfix
  submission  mail by 20 users in and by SMTP out: unsigned, signed with RSA, signed with RSA and Ed25519
  claim       finding what is due in a queue of 1,000 and of 1,000,000 recipients
  bounds      what PostgreSQL and the sender could do at best
  imap        what mail programs do, by 20 IMAP connections in 50 mailboxes, beside Dovecot
  fetch       all envelopes and all bodies of 10,000 messages, cold and warm, beside Dovecot
  scale       IMAP in mailboxes of 1,000 to 1,000,000 messages; memory of a view
  idle        10,000 idle IMAP sessions, half over TLS: memory of each, and how soon they hear of new mail
  pages       the administration's pages with 100,000 users and 1,000,000 log rows
  flags       two designs for the list of flag changes

  Without a PART, all of them. --quick shows in a minute that the benchmark works; its figures mean nothing.";

/// What the parts share.
struct Bench {
    /// Everything that is written goes here, and is removed at the end.
    work: PathBuf,
    /// Small loads, to see that the benchmark works.
    quick: bool,
    report: Report,
    /// What `smtp` has measured, for `bounds` to compare with.
    delivered: Option<smtp::Rates>,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Smtp,
    Relay,
    Submission,
    Claim,
    Bounds,
    Imap,
    Fetch,
    Scale,
    Idle,
    Pages,
    Flags,
}

const PARTS: [(&str, Part); 11] = [
    ("smtp", Part::Smtp),
    ("relay", Part::Relay),
    ("submission", Part::Submission),
    ("claim", Part::Claim),
    ("bounds", Part::Bounds),
    ("imap", Part::Imap),
    ("fetch", Part::Fetch),
    ("scale", Part::Scale),
    ("idle", Part::Idle),
    ("pages", Part::Pages),
    ("flags", Part::Flags),
];

struct Asked {
    parts: Vec<(&'static str, Part)>,
    all: bool,
    quick: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` starts this program as well, without the word that `cargo bench` adds.
    if !arguments.iter().any(|word| word == "--bench") {
        println!("speed is measured by `make bench` or `cargo bench`");
        return ExitCode::SUCCESS;
    }
    let asked = match read(&arguments) {
        Ok(asked) => asked,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Not `process::exit`: what was started is stopped where its owner is dropped.
    match runtime.block_on(until_interrupted(asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("\nThe run broke: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn read(arguments: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { parts: Vec::new(), all: false, quick: false };
    for word in arguments {
        match word.as_str() {
            "--bench" => {}
            "--quick" => asked.quick = true,
            name => match PARTS.iter().find(|part| part.0 == name) {
                Some(part) => asked.parts.push(*part),
                None => return Err(format!("there is no part {name:?}\n{USAGE}")),
            },
        }
    }
    if asked.parts.is_empty() {
        asked.all = true;
        asked.parts = PARTS.to_vec();
    }
    Ok(asked)
}

async fn until_interrupted(asked: Asked) -> Result<(), Trouble> {
    let mut interrupt = signal(SignalKind::interrupt()).told("watch for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).told("watch for SIGTERM")?;
    tokio::select! {
        outcome = run(asked) => outcome,
        _ = interrupt.recv() => Err(Trouble::broken("interrupted")),
        _ = terminate.recv() => Err(Trouble::broken("told to stop")),
    }
}

async fn run(asked: Asked) -> Result<(), Trouble> {
    let work = Work::make()?;
    let mut bench = Bench {
        work: work.0.clone(),
        quick: asked.quick,
        report: Report::new(machine::describe(&work.0)),
        delivered: None,
    };
    if asked.quick {
        bench.report.note("--quick: shows that the benchmark works; the figures mean nothing");
    }
    for (name, part) in &asked.parts {
        bench.report.part(name);
        let outcome = match part {
            Part::Smtp => smtp::run(&mut bench).await,
            Part::Relay => relay::run(&mut bench).await,
            Part::Submission => submission::run(&mut bench).await,
            Part::Claim => claim::run(&mut bench).await,
            Part::Bounds => bounds::run(&mut bench).await,
            Part::Imap => imap::run(&mut bench).await,
            Part::Fetch => fetch::run(&mut bench).await,
            Part::Scale => scale::run(&mut bench).await,
            Part::Idle => idle::run(&mut bench).await,
            Part::Pages => pages::run(&mut bench).await,
            Part::Flags => flags::run(&mut bench).await,
        };
        match outcome {
            Ok(()) => {}
            Err(Trouble::Skipped(why)) => bench.report.note(&format!("SKIPPED: {why}")),
            Err(broken) => return Err(broken),
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-results");
    let names: Vec<&str> = asked.parts.iter().map(|part| part.0).collect();
    let mut name = if asked.all { "speed".to_owned() } else { format!("speed-{}", names.join("-")) };
    if asked.quick {
        name.push_str("-quick");
    }
    bench.report.write(&folder, &name)
}

/// The folder of a run, on a real disk: /tmp may be memory. PostgreSQL and the peers run as users of their own, who must
/// be able to pass it.
struct Work(PathBuf);

impl Work {
    fn make() -> Result<Self, Trouble> {
        let above = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let path = above.join(format!("mailwright-bench-{}", std::process::id()));
        std::fs::create_dir(&path).told(&format!("make the folder {}", path.display()))?;
        let work = Self(path);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&work.0, mode).told("open the folder to the peers")?;
        Ok(work)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}
