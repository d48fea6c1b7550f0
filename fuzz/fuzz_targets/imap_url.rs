//! Any text is an IMAP URL of a message, or none; the rump of an authorized one is its beginning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailwright::imap::wire::url::Url;

fuzz_target!(|text: &str| {
    if let Some(auth) = Url::parse(text).and_then(|url| url.auth) {
        assert!(text.starts_with(&auth.rump));
    }
});
