//! Thunderbird without a screen, driven from outside: it logs in, keeps INBOX offline, marks, archives, deletes, and hears
//! of new mail by IDLE.

use std::process::Stdio;
use std::time::Duration;

use super::{ALICE, Folder, certificate};
use crate::support::{Daemon, Database, root};

fn profile(folder: &Folder, port: u16) -> String {
    let path = folder.0.join("profile");
    std::fs::create_dir(&path).unwrap();
    let texts = [
        ("mail.accountmanager.accounts", "account1"),
        ("mail.account.account1.identities", "id1"),
        ("mail.account.account1.server", "server1"),
        ("mail.identity.id1.useremail", ALICE),
        ("mail.server.server1.type", "imap"),
        ("mail.server.server1.hostname", "localhost"),
        ("mail.server.server1.userName", ALICE),
        ("mail.server.server1.name", "alice"),
    ];
    // 3 and 3: TLS from the first byte, and a password.
    let others = [
        ("mail.server.server1.port", port.to_string()),
        ("mail.server.server1.socketType", "3".to_owned()),
        ("mail.server.server1.authMethod", "3".to_owned()),
        ("mail.server.server1.login_at_startup", "false".to_owned()),
        ("mail.server.server1.use_idle", "true".to_owned()),
        ("marionette.port", "0".to_owned()),
        ("mailnews.start_page.enabled", "false".to_owned()),
        ("mail.provider.suppress_dialog_on_startup", "true".to_owned()),
        ("mail.rights.version", "1".to_owned()),
        ("app.update.enabled", "false".to_owned()),
        ("datareporting.policy.dataSubmissionEnabled", "false".to_owned()),
        ("toolkit.telemetry.enabled", "false".to_owned()),
        ("mail.shell.checkDefaultClient", "false".to_owned()),
    ];
    let lines = texts.map(|(name, value)| format!("user_pref(\"{name}\", \"{value}\");\n"));
    let more = others.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    std::fs::write(path.join("user.js"), [lines.concat(), more.concat()].concat()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn thunderbird_reads_marks_archives_deletes_and_hears_of_news() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate: String = std::fs::read_to_string(certificate(&db, &folder).await)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    for number in 1..=4 {
        let message = format!(
            "Message-ID: <{number}@x>\r\nSubject: Gr\u{fc}\u{df}e {number}\r\n\r\nbody number {number}\r\n"
        );
        imap.send_literal("a APPEND INBOX", message.as_bytes()).await;
        imap.expect("a OK").await;
    }
    let port = daemon.port("imaps");
    let profile = profile(&folder, port);
    let mut command = tokio::process::Command::new("thunderbird");
    command.args([
        "--headless",
        "--no-remote",
        "--marionette",
        "--remote-allow-system-access",
        "--profile",
        &profile,
    ]);
    command
        .env("HOME", &folder.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut thunderbird = match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("thunderbird: {error}; install it: scripts/setup test"),
    };
    let steps = std::fs::read_to_string(root().join("tests/server/clients/thunderbird.js")).unwrap();
    let script =
        folder.file("steps.js", format!("const PORT = {port}, CERTIFICATE = \"{certificate}\";\n{steps}"));
    let driver = root().join("tests/server/clients/thunderbird.py");
    let mut driving = tokio::process::Command::new("python3");
    driving.arg(driver).arg(&profile).stdin(std::fs::File::open(script).unwrap());
    driving.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let driving = driving.spawn().unwrap();

    // When it has moved and deleted, news comes in. It takes long to start, so it is waited for as long as it may run.
    let meanwhile = async {
        let question = "select count(*) = 2 from store.message x join store.mailbox m on m.id = x.mailbox_id
                        where m.name in ('Archive', 'Trash')";
        while !db.value::<bool>(question).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        daemon.deliver("alice", "Subject: meanwhile\n\nnew\n").await;
        std::future::pending::<()>().await;
    };
    let ended = async { tokio::time::timeout(super::CLIENT_PATIENCE, driving.wait_with_output()).await };
    let output = tokio::select! { output = ended => output, () = meanwhile => unreachable!() };
    let output = output.expect("thunderbird does not come to an end").unwrap();
    assert!(output.status.success(), "{}", super::told("thunderbird", &output));
    thunderbird.wait().await.unwrap();

    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = |number: u32| {
        serde_json::json!([number, format!("{number}@x"), format!("Gr\u{fc}\u{df}e {number}"), false])
    };
    assert_eq!(told["shown"], serde_json::json!([shown(1), shown(2), shown(3), shown(4)]));
    assert_eq!(told["came"], "meanwhile");
    assert_eq!(told["special"], serde_json::json!(["Archive", "Trash", "Drafts", "Sent", "Junk"]));
    let store = std::fs::read_to_string(told["store"].as_str().unwrap()).unwrap();
    for number in 1..=4 {
        assert!(store.contains(&format!("body number {number}")), "{number} is not in {store}");
    }
    let rows = db
        .rows(
            "select m.name || ' ' || c.subject || case when x.seen then ' seen' else '' end
               || case when x.flagged then ' flagged' else '' end || case when x.deleted then ' deleted' else '' end
             from store.message x join store.mailbox m on m.id = x.mailbox_id join store.content c on c.id = x.content_id
             order by 1",
        )
        .await;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        rows,
        [
            "Archive Gr\u{fc}\u{df}e 2 seen",
            "INBOX Gr\u{fc}\u{df}e 1 flagged",
            "INBOX Gr\u{fc}\u{df}e 4",
            "INBOX meanwhile",
            "Trash Gr\u{fc}\u{df}e 3",
        ]
    );
}
