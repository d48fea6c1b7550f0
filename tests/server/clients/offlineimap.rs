//! offlineimap: a Maildir and the server, kept the same in both directions.

use super::{
    ALICE, BTreeMap, FOLDERS, Folder, PASSWORD, append, certificate, find, id, in_maildir, on_server, succeed,
};
use crate::support::{Daemon, Database, Dialogue};

async fn offlineimap(configuration: &str) {
    succeed("offlineimap", ["-o", "-c", configuration]).await;
}

/// Both sides, which must be the same: what is in each mailbox, by its Message-ID.
async fn both(imap: &mut Dialogue, folder: &Folder) -> BTreeMap<&'static str, super::Content> {
    let mut mailboxes = BTreeMap::new();
    for mailbox in FOLDERS {
        let far = on_server(imap, mailbox).await;
        let near = in_maildir(&folder.0.join("mail").join(mailbox));
        for (id, (flags, digest)) in &far {
            let (near_flags, near_digest) =
                near.get(id).unwrap_or_else(|| panic!("{id} is not in the Maildir"));
            // It writes headers anew, and cannot keep a field whose name is not ASCII: those of the numbers that end in 9.
            let kept = near_digest == digest || id.contains("9@");
            assert!(near_flags == flags && kept, "{mailbox} {id}: {near_flags} {flags}");
        }
        assert_eq!(near.len(), far.len(), "{mailbox}");
        mailboxes.insert(mailbox, far);
    }
    mailboxes
}

#[tokio::test]
async fn offlineimap_syncs_both_ways_without_a_difference() {
    let db = Database::new().await;
    let daemon = Daemon::start(&db).await;
    let folder = Folder::new();
    let certificate = certificate(&db, &folder).await;
    let (home, port) = (folder.0.display(), daemon.port("imaps"));
    let configuration = folder.file(
        "offlineimaprc",
        format!(
            "[general]\naccounts = a\nmetadata = {home}/meta\nui = quiet\nsocktimeout = 20\n\
             [Account a]\nlocalrepository = near\nremoterepository = far\n\
             [Repository near]\ntype = Maildir\nlocalfolders = {home}/mail\nutime_from_header = no\n\
             [Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {port}\nremoteuser = {ALICE}\n\
             remotepass = {PASSWORD}\nssl = yes\nsslcacertfile = {certificate}\n\
             folderfilter = lambda name: name in ('INBOX', 'Work')\n"
        ),
    );
    let mut imap = daemon.imap().await;
    imap.login("alice").await;
    imap.run("CREATE Work").await;
    for (mailbox, numbers) in FOLDERS.into_iter().zip([0..80, 80..100]) {
        append(&mut imap, mailbox, numbers).await;
    }
    offlineimap(&configuration).await;
    let first = both(&mut imap, &folder).await;
    assert_eq!(first.values().map(|content| content.len()).sum::<usize>(), 100);
    let rows = super::rows(&db).await;
    offlineimap(&configuration).await;
    assert_eq!(both(&mut imap, &folder).await, first);
    assert!(super::rows(&db).await == rows, "the second sync changed the server's mailbox");

    // Changes on both sides.
    imap.run("SELECT INBOX").await;
    imap.run("UID STORE 1:5 +FLAGS.SILENT (\\Flagged)").await;
    imap.run("UID STORE 21:25 +FLAGS.SILENT (\\Deleted)").await;
    imap.run("UID EXPUNGE 21:25").await;
    append(&mut imap, "INBOX", 100..103).await;
    let inbox = folder.0.join("mail/INBOX");
    for number in 40..45 {
        let old = find(&inbox, number);
        let name = old.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_owned();
        std::fs::rename(old, inbox.join("cur").join(format!("{name}:2,RS"))).unwrap();
    }
    for number in 60..65 {
        std::fs::remove_file(find(&inbox, number)).unwrap();
    }
    for number in 103..106 {
        let lines = String::from_utf8_lossy(&super::message(number)).replace("\r\n", "\n");
        std::fs::write(inbox.join("new").join(format!("1700000000.{number}.added")), lines).unwrap();
    }
    offlineimap(&configuration).await;
    offlineimap(&configuration).await;
    let last = both(&mut imap, &folder).await;
    assert_eq!(last["INBOX"].len(), 80 - 5 - 5 + 3 + 3);
    assert_eq!(last["Work"], first["Work"]);
    let flags = |number: usize| last["INBOX"].get(&id(number)).map(|(flags, _)| flags.as_str());
    assert!(flags(0).unwrap().contains('F'));
    assert_eq!((flags(42), flags(22), flags(62)), (Some("RS"), None, None));
    assert!(flags(101).is_some() && flags(104).is_some());
}
