//! What is read as a pattern is written so that it is read as the same; listener specs likewise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailwright::ip::{Pattern, listen};

fuzz_target!(|text: &str| {
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string().parse::<Pattern>().ok(), Some(pattern));
    }
    if let Ok(endpoints) = listen::parse(text, 25) {
        assert_eq!(listen::parse(&listen::show(&endpoints), 25).ok(), Some(endpoints));
    }
});
