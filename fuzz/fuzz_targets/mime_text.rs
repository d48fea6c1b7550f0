//! Any header and any text can be decoded, folded and searched; folding twice changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailwright::mime::message_id::message_ids;
use mailwright::mime::text::{
    contains_ignore_case, decoded_header_text, fold, folded_fields, html_text, sent_day,
};
use mailwright::mime::thread::thread_id;

fuzz_target!(|data: &[u8]| {
    let _ = (decoded_header_text(data), folded_fields(data), sent_day(data), thread_id(data));
    let _ = message_ids(data).count();
    let text = String::from_utf8_lossy(data);
    let folded = fold(&text);
    assert_eq!(fold(&folded), folded);
    assert!(contains_ignore_case(&text, &folded));
    let _ = html_text(&text);
});
