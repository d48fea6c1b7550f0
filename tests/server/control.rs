//! The control plane: what is committed is obeyed, at once and on every node; what makes no sense cannot be stored.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, Durability};
use crate::support::daemon::{Notify, ReservedPort};
use crate::support::dialogue::{is_closed, tcp};
use crate::support::{Daemon, Database};

// Listeners and services -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_listener_is_a_row() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    let port = ReservedPort::any();
    let number = port.number();
    assert!(is_closed(number).await);

    db.apply(&format!(
        "insert into control.listener (service, address, port) values ('smtp', '127.0.0.1', {number})"
    ))
    .await;
    tcp(number).await;
    db.until(&format!("select state = 'open' from live.listener_status where port = {number}")).await;

    db.apply(&format!("update control.listener set enabled = false where port = {number}")).await;
    assert!(is_closed(number).await);
    db.apply(&format!("update control.listener set enabled = true where port = {number}")).await;
    tcp(number).await;

    db.apply(&format!("delete from control.listener where port = {number}")).await;
    assert!(is_closed(number).await);
    db.until(&format!("select not exists (select 1 from live.listener_status where port = {number})")).await;
}

#[tokio::test]
async fn a_listener_moves_to_another_port() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (old, new) = (daemon.port("pop3"), ReservedPort::any());
    db.apply(&format!("update control.listener set port = {} where port = {old}", new.number())).await;
    tcp(new.number()).await;
    assert!(is_closed(old).await);
}

#[tokio::test]
async fn two_listeners_swap_their_ports() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let (a, b, free) = (daemon.port("imap"), daemon.port("pop3"), ReservedPort::any());
    // In one transaction, and so in one step for the daemon: each port must be free before the other listener takes it.
    db.apply(&format!(
        "begin; update control.listener set port = {} where port = {a};
         update control.listener set port = {a} where port = {b};
         update control.listener set port = {b} where port = {}; commit",
        free.number(),
        free.number()
    ))
    .await;
    tcp(a).await;
    tcp(b).await;
    db.until(&format!(
        "select count(*) = 2 from live.listener_status
         where state = 'open' and ((port, service) = ({a}, 'pop3') or (port, service) = ({b}, 'imap'))"
    ))
    .await;
}

#[tokio::test]
async fn the_short_form_makes_a_listener_for_each_address() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    let (a, b) = (ReservedPort::any(), ReservedPort::any());
    let (first, second) = (a.number(), b.number());
    db.apply(&format!(
        "insert into control.listener (service, address, port, mode)
         values ('smtp', '127.0.0.1 {first}, 127.0.0.1:{second}', 25, 'submission')"
    ))
    .await;
    tcp(first).await;
    tcp(second).await;
    let modes: i64 = db
        .value(&format!(
            "select count(*) from control.listener where port in ({first}, {second}) and mode = 'submission'"
        ))
        .await;
    assert_eq!(modes, 2);

    // As a whole it can be said as well.
    db.apply(&format!(
        "select control.set_listeners('smtp', '127.0.0.1 {second}', 'starttls', 'submission')"
    ))
    .await;
    assert!(is_closed(first).await);
    tcp(second).await;
}

#[tokio::test]
async fn a_service_switched_off_has_no_listeners() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    assert!(is_closed(daemon.port("pop3")).await);
    assert!(is_closed(daemon.port("pop3s")).await);
    tcp(daemon.port("imap")).await;
    tcp(daemon.port("smtp")).await;
    db.until("select state = 'stopped' and error is null from live.service_status where service = 'pop3'")
        .await;

    db.apply("update control.service set enabled = true where name = 'pop3'").await;
    tcp(daemon.port("pop3")).await;
    tcp(daemon.port("pop3s")).await;
    db.until("select state = 'running' from live.service_status where service = 'pop3'").await;
}

#[tokio::test]
async fn a_port_in_use_is_named_and_taken_when_it_is_free() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    db.apply(&format!(
        "insert into control.listener (service, address, port) values ('smtp', '127.0.0.1', {port})"
    ))
    .await;
    db.until(&format!(
        "select error is not null and state = 'failed' from live.listener_status where port = {port}"
    ))
    .await;
    let error: String =
        db.value(&format!("select error from live.listener_status where port = {port}")).await;
    for part in [format!("port {port} on 127.0.0.1"), format!("process {}", std::process::id())] {
        assert!(error.contains(&part), "{error}");
    }
    let shown: String = db.value("select error from live.service_status where service = 'smtp'").await;
    assert!(shown.contains(&error), "{shown}");
    // The rest of the service runs on.
    tcp(daemon.port("smtp")).await;

    drop(other);
    db.until(&format!(
        "select error is null and state = 'open' from live.listener_status where port = {port}"
    ))
    .await;
    tcp(port).await;
    db.until("select error is null from live.service_status where service = 'smtp'").await;
}

#[tokio::test]
async fn an_address_of_another_host_is_named() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // RFC 5737: nobody has it.
    db.apply("insert into control.listener (service, address, port) values ('imap', '192.0.2.1', 20143)")
        .await;
    db.until("select error like '192.0.2.1 is not an address of this host%' from live.listener_status where port = 20143").await;
    tcp(daemon.port("imap")).await;
}

#[tokio::test]
async fn a_service_without_listeners_says_so() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    db.apply("delete from control.listener where service = 'pop3'").await;
    db.until("select state = 'failed' and error like 'it has no listener%' from live.service_status where service = 'pop3'").await;
}

#[tokio::test]
async fn a_bad_certificate_is_named_and_stops_nothing() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "insert into control.certificate (chain, key) values
         (E'-----BEGIN CERTIFICATE-----\\nbm9uc2Vuc2U=\\n-----END CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----')",
    )
    .await;
    db.until("select error like 'certificate %' and state = 'running' from live.service_status where service = 'imap'").await;
    tcp(daemon.port("imaps")).await;
    db.apply("delete from control.certificate where source = 'uploaded'").await;
    db.until("select error is null from live.service_status where service = 'imap'").await;
}

#[tokio::test]
async fn connection_control_refuses_at_the_door() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    db.apply(
        "insert into control.ip_list (id, name) values (1, 'not wanted');
         insert into control.ip_rule (list_id, pattern) values (1, '127.*');
         update control.service set ip_list_id = 1 where name = 'smtp'",
    )
    .await;
    let said = daemon.smtp().await.rest().await;
    assert!(!said.is_empty(), "a refusal is said, not only done");
    assert!(!said.iter().any(|line| line.starts_with("220")), "{said:?}");
    assert!(daemon.log().contains("not let in by connection control"));
}

// Obeying ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_node_obeys() {
    let db = Database::new().await;
    let one = Daemon::start(&db).await;
    let two = one.second_node().await;
    assert_ne!(one.port("imap"), two.port("imap"));
    for name in ["imap", "pop3"] {
        tcp(one.port(name)).await;
        tcp(two.port(name)).await;
    }
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    for node in [&one, &two] {
        assert!(is_closed(node.port("pop3")).await, "node {}", node.node());
    }
    let obeying: i64 = db
        .value("select count(*) from live.node, control.generation where applied_generation = value and error is null")
        .await;
    assert_eq!(obeying, 2);
    db.until("select count(*) = 2 from live.service_status where service = 'pop3' and state = 'stopped'")
        .await;
}

#[tokio::test]
async fn without_notify_the_clock_finds_the_change() {
    let db = Database::new().await;
    let daemon = Daemon::start_with(&db, Notify::Off).await;
    let begin = Instant::now();
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    assert!(is_closed(daemon.port("pop3")).await);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_lost_listening_connection_is_made_good() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    // Every connection of the daemon at once, and a change while nobody hears the bell.
    db.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()").await;
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    assert!(is_closed(daemon.port("pop3")).await);
    db.apply("update control.service set enabled = true where name = 'pop3'").await;
    tcp(daemon.port("pop3")).await;
}

#[tokio::test]
async fn a_crash_of_postgresql_is_survived() {
    let cluster = Arc::new(Cluster::start_new(Durability::Real));
    let db = Database::on(&cluster).await;
    let mut daemon = Daemon::start(&db).await;
    let boot: String = db.value("select boot::text from live.node").await;

    cluster.stop_immediate();
    // Listeners stay open: clients are told to come back, not that nobody is here.
    tcp(daemon.port("smtp")).await;
    assert!(daemon.is_running());
    cluster.start();
    db.reconnect().await;

    // The live tables are not logged: they come back empty, and the same daemon fills them.
    db.until(&format!(
        "select exists (select 1 from live.node, control.generation where boot = '{boot}' and applied_generation >= value)
         and (select count(*) from live.listener_status where state = 'open') = 9"
    ))
    .await;
    db.apply("update control.service set enabled = false where name = 'pop3'").await;
    assert!(is_closed(daemon.port("pop3")).await);
    assert!(daemon.is_running());
}

#[tokio::test]
async fn a_node_that_stops_signs_off() {
    let db = Database::new().await;
    let mut daemon = Daemon::start(&db).await;
    let status = daemon.terminate().await;
    assert!(status.success(), "{status}");
    assert!(is_closed(daemon.port("smtp")).await);
    let left: i64 = db
        .value("select (select count(*) from live.node) + (select count(*) from live.listener_status) + (select count(*) from live.service_status)")
        .await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_killed_node_starts_again_in_its_place() {
    let db = Database::new().await;
    let mut daemon = Daemon::start(&db).await;
    let boot: String = db.value("select boot::text from live.node").await;
    daemon.kill9().await;
    db.sql("update control.service set enabled = false where name = 'pop3'").await;
    daemon.start_again().await;
    assert!(is_closed(daemon.port("pop3")).await);
    tcp(daemon.port("imap")).await;
    let now: String = db.value("select boot::text from live.node").await;
    assert_ne!(boot, now);
}

#[tokio::test]
async fn functions_of_another_version_are_built_anew() {
    let db = Database::new().await;
    let mut daemon = Daemon::start(&db).await;
    daemon.terminate().await;
    db.sql("update control.logic set digest = 'of another version'; drop function control.undo(bigint)")
        .await;
    daemon.start_again().await;
    let built: bool = db
        .value("select digest <> 'of another version' and to_regprocedure('control.undo(bigint)') is not null from control.logic")
        .await;
    assert!(built);
}

// Counting changes -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_transaction_is_one_change() {
    let db = Database::new().await;
    let generation = async || -> (i64, i64) {
        let row = &db.rows("select value, config from control.generation").await[0];
        (row.get(0), row.get(1))
    };
    let (value, config) = generation().await;
    db.sql(
        "begin; update control.smtp set max_errors = 5; update control.imap set max_errors = 5;
         insert into directory.domain (name) values ('one.test'); commit",
    )
    .await;
    assert_eq!(generation().await, (value + 1, value + 1));
    // The directory alone is no change of settings: nobody reads all of them again for a new account.
    db.sql("insert into directory.domain (name) values ('two.test')").await;
    assert_eq!(generation().await, (value + 2, value + 1));
    // What was rolled back has not been.
    db.sql("begin; update control.smtp set max_errors = 6; rollback").await;
    assert_eq!(generation().await, (value + 2, value + 1));
    db.sql(
        "begin; savepoint s; update control.smtp set max_errors = 6; rollback to s;
         insert into directory.domain (name) values ('three.test'); commit",
    )
    .await;
    assert_eq!(generation().await, (value + 3, value + 1));
    assert!(config < value + 1);
    let touched: i64 = db.value("select count(*) from control.touched").await;
    assert_eq!(touched, 0);
}

#[tokio::test]
async fn changers_do_not_wait_for_each_other() {
    let db = Database::new().await;
    let (a, b) = (db.connect().await, db.connect().await);
    a.batch_execute("begin; update control.smtp set max_errors = 5").await.unwrap();
    // Would fail after a second, were the generation locked before a commits.
    b.batch_execute("set lock_timeout = '1s'; update control.imap set max_errors = 5").await.unwrap();
    a.batch_execute("commit").await.unwrap();
}

#[tokio::test]
async fn a_transaction_cannot_wait_for_itself() {
    let db = Database::new().await;
    let _daemon = Daemon::start(&db).await;
    let said =
        db.refusal("begin; update control.smtp set max_errors = 5; select control.wait_applied()").await;
    assert!(said.contains("commit first, then wait"), "{said}");
    db.sql("rollback").await;
    let said = db.refusal("begin isolation level repeatable read; select control.wait_applied()").await;
    assert!(said.contains("read committed"), "{said}");
    db.sql("rollback").await;
}

#[tokio::test]
async fn waiting_without_a_node_says_why_it_ends() {
    let db = Database::new().await;
    let said = db.refusal("select control.wait_applied(null, '0.1 seconds')").await;
    assert!(said.contains("none is running"), "{said}");
}

// What cannot be stored --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn bad_values_are_refused_in_words() {
    let db = Database::new().await;
    db.sql(
        "insert into directory.domain (id, name, max_accounts) values (1, 'example.test', 2), (2, 'other.test', 0);
         insert into directory.account (domain_id, local_part) values (1, 'alice'), (1, 'bob');
         insert into directory.alias (domain_id, local_part, targets) values (1, 'info', '{alice@example.test}');
         insert into control.ip_list (id, name) values (1, 'list')",
    )
    .await;
    for (statement, words) in [
        (
            "insert into control.listener (service, port) values ('smtp', 0)",
            "a port is a number from 1 to 65535",
        ),
        (
            "insert into control.listener (service, port) values ('smtp', 65536)",
            "a port is a number from 1 to 65535",
        ),
        (
            "insert into control.listener (service, address, port) values ('smtp', '300.1.1.1', 2525)",
            "a listener's address is * or one IP address",
        ),
        (
            "insert into control.listener (service, address, port) values ('smtp', '10.0.0.0/8', 2525)",
            "a listener's address is * or one IP address",
        ),
        (
            "insert into control.listener (service, address, port) values ('smtp', 'mail.example.test 25', 2525)",
            "is no listener: write an address or *",
        ),
        (
            "insert into control.listener (service, port) values ('smtp', 25)",
            "each address and port has only one listener",
        ),
        (
            "insert into control.listener (service, port) values ('ftp', 2121)",
            "Key (service)=(ftp) is not present in table \"service\"",
        ),
        (
            "insert into control.listener (service, port, tls) values ('smtp', 2525, 'ssl')",
            "control.tls_mode: \"ssl\"",
        ),
        (
            "insert into control.listener (service, port, mode) values ('imap', 2525, 'lmtp')",
            "only smtp listeners have the modes submission and lmtp",
        ),
        ("insert into control.service (name) values ('ftp')", "this is none of the ten services"),
        ("update control.service set max_connections = -1", "a limit is 0 (none) or a positive number"),
        ("update control.service set ip_list_id = 99", "is not present in table \"ip_list\""),
        ("insert into control.ip_list (name) values ('')", "an IP list has a name"),
        ("insert into control.ip_list (name, mode) values ('x', 'maybe')", "control.list_mode: \"maybe\""),
        (
            "insert into control.ip_rule (list_id, pattern) values (1, '300.1.1.1')",
            "a pattern is like 10.0.0.1, 10.0.0.0/8",
        ),
        (
            "insert into control.ip_rule (list_id, pattern) values (1, 'localhost')",
            "a pattern is like 10.0.0.1, 10.0.0.0/8",
        ),
        (
            "insert into control.certificate (chain, key) values ('none', '-----BEGIN PRIVATE KEY-----')",
            "a certificate chain is PEM text",
        ),
        (
            "insert into control.certificate (chain, key) values ('-----BEGIN CERTIFICATE-----', 'none')",
            "a private key is PEM text",
        ),
        (
            "update control.certificate set source = 'bought'; insert into control.certificate (chain, key, source) values ('-----BEGIN CERTIFICATE-----', 'PRIVATE KEY-----', 'bought')",
            "a certificate is uploaded, self-signed or acme",
        ),
        ("insert into control.administrator (name) values ('a@b')", "an administrator has a name without @"),
        ("insert into control.server default values", "server_pkey"),
        ("insert into control.server (only_row) values (false)", "server_only_row_check"),
        (
            "update control.server set hostname = 'mail server'",
            "a host name has letters, digits, hyphens and dots",
        ),
        (
            "update control.server set log_level = 'loud'",
            "the log level is error, warn, info, debug or trace",
        ),
        ("update control.server set stop_grace_seconds = 0", "a time in seconds is from 1 to 86400"),
        ("update control.smtp set max_message_bytes = 157286401", "a message size is from 1 kB to 150 MB"),
        ("update control.smtp set max_message_bytes = 0", "a message size is from 1 kB to 150 MB"),
        ("update control.smtp set max_recipients = 99", "a message may have from 100 to 50000 recipients"),
        ("update control.smtp set max_header_bytes = 1", "a message header is from 16 kB to 1 MB"),
        ("update control.smtp set max_errors = 0", "max_errors is at least 1"),
        ("update control.smtp set max_received_headers = 1", "max_received_headers is from 10 to 1000"),
        ("update control.smtp set max_messages_per_session = 0", "max_messages_per_session is at least 1"),
        ("update control.smtp set bare_newline = 'ignore'", "control.newline_policy: \"ignore\""),
        ("update control.smtp set command_timeout_seconds = 86401", "a time in seconds is from 1 to 86400"),
        ("update control.imap set idle_timeout_seconds = 1799", "RFC 9051 asks for at least 30 minutes"),
        ("update control.imap set max_mailboxes = 1", "max_mailboxes is at least 10"),
        ("update control.pop3 set idle_timeout_seconds = 599", "RFC 1939 asks for at least 10 minutes"),
        (
            "update control.directory set subaddress_separator = '@'",
            "the subaddress separator is empty or one of",
        ),
        ("update control.directory set max_login_failures = 0", "max_login_failures is from 1 to 1000"),
        ("update control.directory set lock_minutes = 0", "lock_minutes is from 1 to 1440"),
        (
            "update control.directory set max_peer_login_failures = 0",
            "max_peer_login_failures is from 1 to 10000",
        ),
        ("update control.directory set quota_bytes = -1", "a quota is 0 (none) or more bytes"),
        ("update control.directory set min_password_length = 0", "min_password_length is from 1 to 128"),
        (
            "update control.store set message_bytes_in_flight = 1",
            "message_bytes_in_flight is from 4 MB to 64 GB",
        ),
        (
            "update control.store set expunged_retention_days = -1",
            "expunged_retention_days is from 0 to 3650",
        ),
        ("update control.store set content_grace_hours = 0", "content_grace_hours is from 1 to 8760"),
        (
            "insert into directory.domain (name) values ('exa mple.test')",
            "a host name has letters, digits, hyphens and dots",
        ),
        (
            "insert into directory.domain (name) values ('')",
            "a host name has letters, digits, hyphens and dots",
        ),
        (
            "insert into directory.domain (name) values ('bücher.test')",
            "a host name has letters, digits, hyphens and dots",
        ),
        (
            "insert into directory.domain (name) values ('Example.TEST.')",
            "Key (name)=(example.test) already exists",
        ),
        (
            "insert into directory.domain (name, catch_all) values ('c.test', 'nobody')",
            "a catch-all is an address like",
        ),
        (
            "insert into directory.domain (name, is_default) values ('d.test', true), ('e.test', true)",
            "only one domain can be the default",
        ),
        (
            "insert into directory.domain (name, max_accounts) values ('f.test', -1)",
            "a limit is 0 (none) or a positive number",
        ),
        (
            "insert into directory.domain (name, quota_bytes) values ('g.test', -1)",
            "a quota is 0 (none) or more bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (2, 'a@b')",
            "before the @ stand 1 to 64 bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (2, '')",
            "before the @ stand 1 to 64 bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (2, 'a b')",
            "before the @ stand 1 to 64 bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (2, 'a..b')",
            "before the @ stand 1 to 64 bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (2, repeat('a', 65))",
            "before the @ stand 1 to 64 bytes",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (99, 'x')",
            "is not present in table \"domain\"",
        ),
        (
            "insert into directory.account (domain_id, local_part) values (1, 'carol')",
            "domain example.test would have 3 accounts, and its max_accounts is 2",
        ),
        (
            "update directory.account set domain_id = 1 where false; update directory.domain set max_accounts = 0; insert into directory.account (domain_id, local_part) values (1, 'info')",
            "this address exists already, as an account or an alias",
        ),
        (
            "update directory.domain set max_accounts = 0; insert into directory.account (domain_id, local_part) values (1, 'ALICE')",
            "Key (domain_id, local_part)=(1, alice) already exists",
        ),
        ("update directory.account set scram = 'nonsense'", "scram keys look like SCRAM-SHA-256$"),
        (
            "update directory.account set forbidden_services = '{ftp}'",
            "smtp, pop3, imap, webmail and rpc can be forbidden",
        ),
        (
            "insert into directory.alias (domain_id, local_part, targets) values (1, 'bob', '{alice@example.test}')",
            "this address exists already, as an account or an alias",
        ),
        (
            "insert into directory.alias (domain_id, local_part, targets) values (1, 'x', '{}')",
            "an alias has at least one target address",
        ),
        (
            "insert into directory.alias (domain_id, local_part, targets) values (1, 'x', '{null}')",
            "an alias has at least one target address",
        ),
        (
            "insert into directory.alias (domain_id, local_part, targets) values (1, 'x', '{alice}')",
            "\"alice\" is no target for an alias",
        ),
        (
            "insert into store.mailbox (account_id, name) select id, '' from directory.account limit 1",
            "a mailbox name has 1 to 1000 bytes",
        ),
        (
            "insert into store.mailbox (account_id, name) select id, 'inbox' from directory.account limit 1",
            "this account has a mailbox of that name already",
        ),
        (
            "insert into store.mailbox (account_id, name) select id, 'a//b' from directory.account limit 1",
            "a mailbox name has 1 to 1000 bytes",
        ),
        (
            "insert into store.mailbox (account_id, name, special_use) select id, 'n', '\\New' from directory.account limit 1",
            "this is no special use",
        ),
    ] {
        // All or nothing: a refused statement leaves nothing behind.
        let said = db.refusal(statement).await;
        assert!(said.contains(words), "{statement}\nshould say: {words}\nsays: {said}");
    }
    let accounts: i64 = db.value("select count(*) from directory.account").await;
    assert_eq!(accounts, 2);
}

#[tokio::test]
async fn moving_accounts_keeps_to_max_accounts() {
    let db = Database::new().await;
    db.sql(
        "insert into directory.domain (id, name, max_accounts) values (1, 'full.test', 1), (2, 'other.test', 0);
         insert into directory.account (domain_id, local_part) values (1, 'a'), (2, 'b')",
    )
    .await;
    let said = db.refusal("update directory.account set domain_id = 1 where local_part = 'b'").await;
    assert!(said.contains("domain full.test would have 2 accounts, and its max_accounts is 1"), "{said}");
}

#[tokio::test]
async fn two_columns_make_an_account_with_its_mailboxes() {
    let db = Database::new().await;
    db.sql(
        "insert into directory.domain (id, name) values (1, ' Example.Test. ');
         insert into directory.account (domain_id, local_part) values (1, 'Alice')",
    )
    .await;
    let address: String = db.value("select address from report.account").await;
    assert_eq!(address, "alice@example.test");
    let inbox: Option<i64> = db.value("select store.mailbox_id('Alice@Example.test', 'inbox')").await;
    assert!(inbox.is_some());
}

// Who did what, and taking it back --------------------------------------------------------------------------------------

#[tokio::test]
async fn every_change_is_audited() {
    let db = Database::new().await;
    db.sql(
        "set application_name = 'psql'; insert into directory.domain (id, name) values (7, 'example.test')",
    )
    .await;
    let inserted = &db
        .rows(
            "select actor = session_user, path, action, key::text, old is null, new ->> 'name'
             from log.audit where table_name = 'directory.domain'",
        )
        .await[0];
    assert!(inserted.get::<_, bool>(0));
    assert_eq!(inserted.get::<_, String>(1), "psql");
    assert_eq!(inserted.get::<_, String>(2), "insert");
    assert_eq!(inserted.get::<_, String>(3), r#"{"id": 7}"#);
    assert!(inserted.get::<_, bool>(4));
    assert_eq!(inserted.get::<_, String>(5), "example.test");

    // An administrator at a page or a command is named by the program he uses.
    db.sql(
        "begin; set local mailwright.actor = 'root@example.test'; set local mailwright.peer = '192.0.2.7';
         update directory.domain set active = false; commit",
    )
    .await;
    let changed: String = db
        .value(
            "select concat_ws(' ', actor, peer, action, old ->> 'active', new ->> 'active')
             from log.audit where table_name = 'directory.domain' order by id desc limit 1",
        )
        .await;
    assert_eq!(changed, "root@example.test 192.0.2.7 update true false");

    // What changes nothing leaves nothing; what was rolled back neither.
    let before: i64 = db.value("select count(*) from log.audit").await;
    db.sql("update directory.domain set active = active").await;
    db.sql("begin; delete from directory.domain; rollback").await;
    assert_eq!(db.value::<i64>("select count(*) from log.audit").await, before);

    db.sql("delete from directory.domain").await;
    let gone: String = db
        .value("select concat_ws(' ', action, old ->> 'name', new) from log.audit order by id desc limit 1")
        .await;
    assert_eq!(gone, "delete example.test");
}

#[tokio::test]
async fn secrets_are_not_in_the_audit_log() {
    let db = Database::new().await;
    db.sql(
        "insert into directory.domain (id, name) values (1, 'example.test');
         insert into directory.account (domain_id, local_part, password_hash) values (1, 'alice', '{PLAIN}Geheim');
         update directory.account set password_hash = '{PLAIN}Geheimer';
         insert into control.administrator (name, password_hash) values ('root', '{PLAIN}Geheim');
         insert into control.certificate (chain, key) values ('-----BEGIN CERTIFICATE-----', '-----BEGIN PRIVATE KEY----- Geheim');
         delete from directory.account",
    )
    .await;
    let seen: i64 =
        db.value("select count(*) from log.audit where concat(old, new, key) like '%Geheim%'").await;
    assert_eq!(seen, 0);
    let hidden: i64 =
        db.value("select count(*) from log.audit where concat(old, new) like '%(hidden)%'").await;
    assert_eq!(hidden, 5);
}

/// The last row of the log.
async fn last_change(db: &Database) -> i64 {
    db.value("select max(id) from log.audit").await
}

#[tokio::test]
async fn a_change_can_be_taken_back() {
    let db = Database::new().await;
    // An update.
    db.sql("update control.smtp set max_recipients = 500, max_errors = 7").await;
    let change = last_change(&db).await;
    let undoing: i64 = db.value(&format!("select control.undo({change})")).await;
    let now: String = db.value("select max_recipients || ' ' || max_errors from control.smtp").await;
    assert_eq!(now, "1000 20");
    assert_eq!(db.value::<i64>(&format!("select undoes from log.audit where id = {undoing}")).await, change);
    // Taking back is a change like any other.
    db.sql(&format!("select control.undo({undoing})")).await;
    assert_eq!(db.value::<i32>("select max_recipients from control.smtp").await, 500);

    // An insertion.
    db.sql("insert into control.ip_list (name) values ('mistake')").await;
    db.sql(&format!("select control.undo({})", last_change(&db).await)).await;
    assert_eq!(db.value::<i64>("select count(*) from control.ip_list").await, 0);

    // A deletion; the row comes back as it was, key included.
    let listener: String = db.value("select to_jsonb(l)::text from control.listener l where port = 25").await;
    db.sql("delete from control.listener where port = 25").await;
    db.sql(&format!("select control.undo({})", last_change(&db).await)).await;
    let back: String = db.value("select to_jsonb(l)::text from control.listener l where port = 25").await;
    assert_eq!(back, listener);
}

#[tokio::test]
async fn what_has_changed_since_is_not_taken_back() {
    let db = Database::new().await;
    db.sql("update control.smtp set max_recipients = 500").await;
    let first = last_change(&db).await;
    db.sql("update control.smtp set max_recipients = 600").await;
    let second = last_change(&db).await;
    let said = db.refusal(&format!("select control.undo({first})")).await;
    assert!(said.contains(&format!("changed again since (change {second})")), "{said}");
    assert_eq!(db.value::<i32>("select max_recipients from control.smtp").await, 600);
    // In turn it goes, and a change of another column is not in the way.
    db.sql("update control.smtp set max_errors = 9").await;
    db.sql(&format!("select control.undo({second}); select control.undo({first})")).await;
    let now: String = db.value("select max_recipients || ' ' || max_errors from control.smtp").await;
    assert_eq!(now, "1000 9");

    // Rows that are there again, or gone already.
    db.sql("delete from control.listener where port = 25").await;
    let deleted = last_change(&db).await;
    db.sql(&format!("select control.undo({deleted})")).await;
    let said = db.refusal(&format!("select control.undo({deleted})")).await;
    assert!(said.contains("is there again"), "{said}");
    db.sql("insert into control.ip_list (name) values ('x')").await;
    let inserted = last_change(&db).await;
    db.sql("delete from control.ip_list").await;
    let said = db.refusal(&format!("select control.undo({inserted})")).await;
    assert!(said.contains("is gone already"), "{said}");
    let said = db.refusal("select control.undo(999999)").await;
    assert!(said.contains("there is no change 999999"), "{said}");
    // What cannot be stored cannot come back either.
    db.sql(
        "insert into directory.domain (id, name) values (1, 'example.test');
         insert into directory.alias (domain_id, local_part, targets) values (1, 'info', '{a@b.test}');
         delete from directory.alias",
    )
    .await;
    let deleted = last_change(&db).await;
    db.sql("insert into directory.account (domain_id, local_part) values (1, 'info')").await;
    let said = db.refusal(&format!("select control.undo({deleted})")).await;
    assert!(said.contains("this address exists already"), "{said}");
    // Nor what cannot be without its secret, which the log has hidden.
    db.sql(
        "insert into directory.second_factor (account_id, secret, last_step) select id, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 0 from directory.account;
         delete from directory.second_factor",
    )
    .await;
    let said = db.refusal(&format!("select control.undo({})", last_change(&db).await)).await;
    assert!(said.contains("cannot come back: the log does not keep its secrets (secret)"), "{said}");
}
