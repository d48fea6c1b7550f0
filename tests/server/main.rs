//! The integration suite: real sockets, a real PostgreSQL, the real daemon as a process.
//!
//! One binary, so that there is one thing to link. `support` has what tests are written with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that finds something else than it expects has failed, and says so by a panic"
)]

mod support;

mod acme;
mod admin;
mod browse;
mod certificate_page;
mod cli_dns;
mod cli_queue;
mod clients;
mod control;
mod docs;
mod forward;
mod hostile;
mod house;
mod imap_acl;
mod imap_append;
mod imap_client_rules;
mod imap_context;
mod imap_fetch;
mod imap_mailbox;
mod imap_message;
mod imap_metadata;
mod imap_notify;
mod imap_objectid;
mod imap_qresync;
mod imap_rev2;
mod imap_search;
mod imap_search_index;
mod imap_shared;
mod imap_sort;
mod imap_stress;
mod imap_thread;
mod imap_uidonly;
mod imap_urlauth;
mod imap_wire;
mod imap_words;
mod import;
mod ip;
mod log;
mod lost;
mod mailbox_view;
mod oauth;
mod open_relay;
mod overview;
mod pop3_conformance;
mod queue_page;
mod queue_scale;
mod receive;
mod relay;
mod relay_convert;
mod relay_lost;
mod relay_tls;
mod reports;
mod rules;
mod schema;
mod screen;
mod second_factor;
mod sign;
mod sink;
mod spf;
mod sql;
mod sql_rights;
mod stopping;
mod tls_report;
mod trace_page;
mod verify;
