//! The sinks themselves: what they say, keep and do badly, seen by a client that is not ours.

use std::time::Duration;

use crate::support::sink::{Act, At, Tls, loopback, smtp_sink};
use crate::support::{Ca, PATIENCE, Script, Sink};

/// Sends one message by swaks, and returns whether it says that all went well, and what it printed.
async fn swaks(sink: &Sink, arguments: &[&str]) -> (bool, String) {
    let server = sink.address().to_string();
    let output = tokio::process::Command::new("swaks")
        .args(["--server", &server, "--helo", "client.test", "--from", "a@b.test", "--to", "c@d.test"])
        .args(["--body", ".dot\\nend", "--timeout", "20"])
        .args(arguments)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap().expect("swaks");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_sink_keeps_what_it_is_sent() {
    let sink = Sink::start(&loopback(), 0, Script::default()).await;
    let (fine, text) = swaks(&sink, &["--to", "c@d.test,e@d.test"]).await;
    assert!(fine, "{text}");
    let message = &sink.wait_for(1).await[0];
    assert_eq!((message.helo.as_str(), message.sender()), ("client.test", "a@b.test"));
    assert_eq!(message.addresses(), ["c@d.test", "e@d.test"]);
    assert!(message.text().contains("\r\n.dot\r\nend"), "{}", message.text());
    assert!(message.commands.contains(&"DATA".to_owned()) && message.tls.is_none());
    // Another one with the same port: addresses are the test's own.
    let second = Sink::start(&loopback(), sink.port(), Script::default()).await;
    assert!(swaks(&second, &[]).await.0);
    assert_eq!((sink.count(), second.wait_for(1).await.len(), second.connections()), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_login() {
    let ca = Ca::new();
    let script = Script::default().tls(Tls::Offered(ca.certificate(&["mx.test"]))).login("me", "secret");
    let sink = Sink::start(&loopback(), 0, script).await;
    let login = ["--tls", "--tls-sni", "mx.test", "--auth", "PLAIN", "--auth-user", "me", "--auth-password"];
    let (fine, text) = swaks(&sink, &[&login[..], &["secret"]].concat()).await;
    assert!(fine, "{text}");
    let message = &sink.wait_for(1).await[0];
    let tls = message.tls.as_ref().unwrap();
    assert_eq!((tls.sni.as_deref(), tls.version.as_str()), (Some("mx.test"), "TLSv1_3"));
    assert_eq!(message.login.as_deref(), Some("me"));
    assert!(!swaks(&sink, &[&login[..], &["wrong"]].concat()).await.0);
    assert!(!swaks(&sink, &[]).await.0, "without a login");
    for tls in [Tls::Refused, Tls::Garbage, Tls::Closed] {
        sink.change(|script| script.tls(tls));
        assert!(!swaks(&sink, &[&login[..], &["secret"]].concat()).await.0);
    }
    assert_eq!(sink.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_happen_as_often_as_they_should() {
    let script = Script::default()
        .once(At::Mail, Act::reply("451 4.3.0 Later"))
        .once(At::RcptOf("c@d.test".to_owned()), Act::reply("550 5.1.1 Who?"))
        .once(At::Connect, Act::Drip(Duration::from_millis(2)))
        .once(At::End, Act::Drop)
        .once(At::Body, Act::Drop);
    let sink = Sink::start(&loopback(), 0, script).await;
    let (fine, text) = swaks(&sink, &[]).await;
    assert!(!fine && text.contains("451 4.3.0 Later"), "{text}");
    let (fine, text) = swaks(&sink, &[]).await;
    assert!(!fine && text.contains("550 5.1.1 Who?"), "{text}");
    assert!(!swaks(&sink, &[]).await.0 && sink.count() == 0, "dropped within the message");
    assert!(!swaks(&sink, &[]).await.0, "the answer is lost");
    assert!(sink.wait_for(1).await[0].answer_lost());
    assert!(swaks(&sink, &[]).await.0);
    sink.wait_until("its answer", PATIENCE, || sink.messages().get(1).is_some_and(|m| !m.answer_lost()))
        .await;
    sink.change(|script| script.always(At::Ehlo, Act::Flood));
    let text = tokio::time::timeout(PATIENCE, async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(sink.address()).await.unwrap();
        stream.write_all(b"EHLO x\r\n").await.unwrap();
        let mut text = vec![0; 100_000];
        stream.read_exact(&mut text).await.unwrap();
        text
    });
    assert!(text.await.unwrap().ends_with(b"\n") || sink.connections() == 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_has_a_sink_too() {
    let sink = smtp_sink(&loopback()).await;
    let mut line = [0; 3];
    let mut stream = tokio::net::TcpStream::connect(sink.address()).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut line).await.unwrap();
    assert_eq!(&line, b"220");
}
